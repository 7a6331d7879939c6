"""Envoy AI Gateway's access log as JSON, with OpenTelemetry's `gen_ai.*` names for what its `llmRequestCosts` count.

Its translators add what the cache read and wrote to the input, so its counts are meant as OpenAI's.
"""

from typing import Any

from billing import conventions
from billing.adapters.record import (
    NotUsageError,
    Record,
    UnreadableError,
    ended,
    endpoint_of,
    identified,
    moment,
    outcome_of,
)

CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
)
WRITTEN = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens")
REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")


def read(record: Record) -> dict[str, Any]:
    """Raises UnreadableError, and NotUsageError for what Keymeter refused."""
    status = record.whole("response_code", "status")
    if status is None:
        raise UnreadableError("it has no `response_code`")
    if not record.get("key") and status >= 400:
        # No key was let in: nothing was used.
        raise NotUsageError
    started = moment(record.text("start_time", "time"), "start_time")
    endpoint = endpoint_of(record.text("x-envoy-origin-path", "path"))
    names = ("key", "x-envoy-origin-path", "path", "response_code", "bytes_received", "bytes_sent", "duration")
    others = [record.told(name) for name in names]
    flags = record.optional("response_flags").split(",")
    outcome = "client_disconnected" if "DC" in flags and status < 400 else outcome_of(status)
    return {
        **identified(record, started, "envoy-ai", record.optional("x-request-id"), *others),
        "key": record.text("key"),
        "org": record.optional("org"),
        "model": record.text("gen_ai.request.model"),
        "endpoint": endpoint,
        "status": status,
        "outcome": outcome,
        "usage": _usage(record, endpoint, outcome),
        "ended": ended(started, record.whole("duration")),
    }


def _usage(record: Record, endpoint: str, outcome: str) -> dict[str, int]:
    """Bytes on the wire say nothing of tokens in a stream: what isn't counted waits for a person."""
    told: dict[str, Any] = {
        "input_tokens": record.whole("gen_ai.usage.input_tokens"),
        "output_tokens": record.whole("gen_ai.usage.output_tokens"),
        "input_tokens_details": {
            "cached_tokens": record.whole(*CACHED),
            "cache_write_tokens": record.whole(*WRITTEN),
        },
        "output_tokens_details": {"reasoning_tokens": record.whole(*REASONING)},
    }
    if endpoint in conventions.WITHOUT_OUTPUT and told["output_tokens"] is None:
        del told["output_tokens"]
    found = conventions.meters(told, endpoint=endpoint)
    if found is not None:
        return found
    if outcome in ("upstream_error", "timeout", "refused") or record.whole("bytes_sent") == 0:
        return {"requests": 1}
    raise UnreadableError("it has no `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens`")
