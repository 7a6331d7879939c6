"""LiteLLM's StandardLoggingPayload (1.106): the `standard_logging_object` that its callbacks and log files have.

LiteLLM has made OpenAI's convention of every provider's counts, but for `anthropic_messages`, which it passes on.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from billing import conventions
from billing.adapters.record import NotUsageError, Record, UnreadableError, derived_id, identified, moment, outcome_of
from billing.estimating import ESTIMATOR_VERSION, estimated, input_bytes, output_bytes
from billing.meters import MOST_UNITS

ENDPOINTS = {
    "completion": "chat.completions",
    "text_completion": "completions",
    "responses": "responses",
    "embedding": "embeddings",
    "image_generation": "images.generations",
    "image_edit": "images.edits",
    "image_variation": "images.variations",
    "transcription": "audio.transcriptions",
    "speech": "audio.speech",
    "rerank": "rerank",
    "moderation": "moderations",
    "anthropic_messages": "messages",
}
# What can be counted from the texts that LiteLLM logs.
COUNTABLE = ("chat.completions", "completions", "embeddings")
REDACTED = "redacted-by-litellm"


def read(record: Record) -> dict[str, Any]:
    """Raises UnreadableError."""
    record = Record(record.members["standard_logging_object"]) if _wrapped(record) else record
    call_type = record.text("call_type").lstrip("_")
    endpoint = ENDPOINTS.get(call_type) or ENDPOINTS.get(call_type.removeprefix("a"))
    if endpoint is None:
        raise UnreadableError(f"nobody sells calls of the type {call_type[:40]}")
    metadata = record.inner("metadata")
    authorized = metadata.inner("user_api_key_auth_metadata")
    started = moment(record.get("startTime"), "startTime")
    status = _status(record)
    outcome = outcome_of(status)
    call_id = record.optional("litellm_call_id", "id")
    key = authorized.optional("keymeter_key") or metadata.text("user_api_key_hash")
    if outcome == "completed":
        named = Record({"keymeter_request_id": authorized.get("keymeter_request_id")})
        identity = identified(named, started, "litellm", call_id, key)
    else:
        # An attempt that failed may be told before the one that didn't, and must not take its place.
        identity = {"id": derived_id(started, "litellm", call_id, key, "failed"), "time": started}
    usage, is_estimated = _usage(record, metadata, endpoint) if outcome == "completed" else ({"requests": 1}, False)
    first = record.get("completionStartTime")
    streamed = record.get("stream") is True
    team = metadata.optional("user_api_key_team_id")
    return {
        **identity,
        "key": key,
        "org": team if team.startswith("org_") else "",
        "model": record.text("model_group", "model"),
        "endpoint": endpoint,
        "status": status,
        "outcome": outcome,
        "usage": usage,
        "variant": _variant(record),
        "stream": streamed,
        "ended": moment(record.get("endTime"), "endTime"),
        "ttft_ms": _milliseconds(moment(first, "completionStartTime") - started) if first and streamed else None,
        "upstream_request_id": record.optional("id")[:200],
        "estimated": is_estimated,
        "estimator": ESTIMATOR_VERSION if is_estimated else 0,
    }


def _wrapped(record: Record) -> bool:
    return isinstance(record.members.get("standard_logging_object"), Mapping)


def _status(record: Record) -> int:
    told = record.text("status")
    if told == "success":
        return 200
    if told != "failure":
        raise UnreadableError(f"`status` is {told[:40]}")
    code = record.inner("error_information").optional("error_code")
    if code in ("401", "403") and not record.optional("model_id"):
        # No deployment was chosen: LiteLLM, or Keymeter behind it, refused the key.
        raise NotUsageError
    return int(code) if len(code) == 3 and code.isdecimal() and 100 <= int(code) <= 599 else 500


def _usage(record: Record, metadata: Record, endpoint: str) -> tuple[dict[str, int], bool]:
    """(meters, whether they are our count). Raises UnreadableError where nothing is told and nothing can be counted."""
    told = metadata.members.get("usage_object")
    if told is None and (record.whole("prompt_tokens") or record.whole("completion_tokens")):
        # Both zero is what LiteLLM writes where nothing was reported.
        told = {name: record.whole(name) or 0 for name in ("prompt_tokens", "completion_tokens")}
    passed_on = endpoint == "messages" and isinstance(told, Mapping) and "prompt_tokens" not in told
    convention = conventions.ANTHROPIC if passed_on else conventions.OPENAI
    response = record.members.get("response")
    if endpoint == "rerank":
        told = conventions.usage_of(response) or told
    if endpoint.startswith("images.") and not _tokens(told):
        return {"requests": 1, "images": _images(response)}, False
    if endpoint == "moderations":
        return {"requests": 1}, False
    if endpoint == "audio.speech" and not _tokens(told):
        return {"requests": 1, "characters": len(_own_text(record))}, True
    found = conventions.meters(told, endpoint=endpoint, convention=convention)
    # Of an answer without usage LiteLLM makes one of zeros: here they say that nothing was reported.
    if found is not None and (sum(found.values()) > 1 or endpoint not in COUNTABLE):
        return found, False
    if endpoint not in COUNTABLE:
        raise UnreadableError("it doesn't say what was used")
    asked = msgspec.json.encode(_own_text(record))
    answered = output_bytes(response) if isinstance(response, Mapping) else 0
    return estimated(input_bytes(asked), answered, most_output=MOST_UNITS), True


def _tokens(told: Any) -> bool:
    return isinstance(told, Mapping) and any(told.get(name) for name in ("output_tokens", "completion_tokens"))


def _own_text(record: Record) -> Any:
    """The request as logged, to count. Raises UnreadableError where LiteLLM was told not to log it."""
    messages = record.get("messages")
    if not messages or REDACTED in str(messages)[:1000]:
        raise UnreadableError("it doesn't say what was used, and has nothing to count")
    return messages


def _images(response: Any) -> int:
    data = response.get("data") if isinstance(response, Mapping) else None
    if not isinstance(data, list):
        raise UnreadableError("it doesn't say how many images there were")
    return len(data)


def _variant(record: Record) -> str:
    parameters = record.inner("model_parameters")
    told = [parameters.optional(name) for name in ("size", "quality")]
    # As our own gateways write it.
    return "-".join(one for one in told if one and one != "auto")[:60]


def _milliseconds(duration: timedelta) -> int:
    return max(0, duration // timedelta(milliseconds=1))
