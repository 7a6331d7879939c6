"""LiteLLM's proxy asks Keymeter who may pass, and tells it what each request used. See ../README.md.

`user_api_key_auth` verifies over POST /v1/keys/verify; a callback, which this module registers, settles. Both run in
one process, so what was verified is remembered here, and nothing that a client sends can name somebody else's request.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import httpx
import litellm
from fastapi import Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException, UserAPIKeyAuth

log = logging.getLogger("keymeter")

ENDPOINTS = {
    "/chat/completions": "chat.completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/models": "models",
}
# What LiteLLM would read from a body beyond OpenAI's API: ways to another model, or another place.
OTHER_MODELS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "models", "model_list")
OTHER_PLACES = ("user_config", "api_base", "base_url", "api_key", "custom_llm_provider", "deployment_id", "num_retries")
NOT_FOR_CLIENTS = {*OTHER_MODELS, *OTHER_PLACES}
PREFIXES_NOT_FOR_CLIENTS = ("mock_", "litellm_", "router_")
# A part of a message that isn't text.
MEDIA = re.compile(r'"type": "(?!text"|function"|tool_use")')
VERIFY_SECONDS = 5.0
# As long as the usage of a request is offered to Keymeter, at first every second, then every half minute.
SETTLE_TRIES = 120
SLOWEST_SECONDS = 30.0
# Of requests whose end LiteLLM never told.
FORGET_SECONDS = 3600.0

keymeter = httpx.AsyncClient(
    base_url=os.environ["KEYMETER_URL"],
    headers={"X-Gateway-Credential": os.environ["GATEWAY_CREDENTIAL"]},
    timeout=VERIFY_SECONDS,
    trust_env=False,
)


@dataclass
class Verified:
    """What Keymeter allowed, for settling it."""

    key: str
    org: str
    model: str
    endpoint: str
    tokens: int
    stream: bool
    since: float


verified: dict[str, Verified] = {}
running: set[asyncio.Task[None]] = set()


class Refused(ProxyException):
    """An error as OpenAI's clients know it. LiteLLM's own puts the status where the code belongs."""

    def __init__(self, status: int, error: dict[str, str | None], headers: dict[str, str] | None = None) -> None:
        super().__init__(error["message"], error["type"], error["param"], status, headers)
        self.code = str(status)
        self.error = error

    def to_dict(self) -> dict[str, str | None]:
        return self.error


def refused(status: int, type_: str, code: str | None, message: str, **headers: str) -> Refused:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refused(status, {"message": message, "type": type_, "param": None, "code": code}, named)


def undecided() -> Refused:
    message = "We can't decide on requests right now. Try again."
    return refused(503, "server_error", "service_unavailable", message, retry_after="1")


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Ask Keymeter. Raises what the client should see."""
    endpoint = ENDPOINTS.get(request.url.path.removeprefix("/v1"))
    if endpoint is None:
        raise refused(404, "invalid_request_error", "unknown_url", "There is nothing at this URL.")
    if not api_key:
        raise refused(401, "invalid_request_error", "invalid_api_key", "You didn't provide an API key.")
    body = await _body(request) if endpoint != "models" else {}
    request_id = str(new_request_id())
    told = await _verify(request_id, _question(request, api_key.removeprefix("Bearer "), endpoint, body))
    if not told["valid"]:
        raise Refused(told["status"], told["error"]["error"], _retry_headers(told))
    if told["hold"] is not None:
        _forget()
        verified[request_id] = Verified(
            key=told["key"],
            org=told["org"],
            model=body["model"],
            endpoint=endpoint,
            tokens=told["tokens"],
            stream=body.get("stream") is True,
            since=time.monotonic(),
        )
    # LiteLLM hands `metadata` to the callback and to its logs, which `manage.py ingest --format litellm` reads.
    known = {"keymeter_request_id": request_id, "keymeter_key": told["key"]}
    return UserAPIKeyAuth(api_key=told["key"], team_id=told["org"], metadata=known)


class Settle(CustomLogger):
    """Tells Keymeter how a request went. That is the usage event: it is repeated until Keymeter has it."""

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time) -> None:
        metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
        usage, estimated = told_or_counted(kwargs, response_obj)
        _settle(
            (metadata.get("user_api_key_metadata") or {}).get("keymeter_request_id"),
            status=200,
            outcome="completed",
            usage=meters(usage),
            estimated=estimated,
            ended=end_time,
        )

    async def async_post_call_failure_hook(
        self, request_data, original_exception, user_api_key_dict, traceback_str=None
    ) -> None:
        """Once a request, after LiteLLM's own retries. It isn't charged."""
        status = getattr(original_exception, "status_code", None) or 500
        _settle(
            (user_api_key_dict.metadata or {}).get("keymeter_request_id"),
            status=int(status),
            outcome="refused" if 400 <= int(status) < 500 and int(status) not in (408, 429) else "upstream_error",
            usage={"requests": 1},
            ended=datetime.now(UTC),
        )


# Not in LiteLLM's `callbacks`: it would load this module once more, which then knows of no request.
litellm.logging_callback_manager.add_litellm_callback(Settle())


def new_request_id() -> UUID:
    """A UUIDv7 of now. Keymeter takes the gateway's, so that asking twice is one decision."""
    random = secrets.randbits(74)
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1)


def told_or_counted(kwargs: dict, response: object) -> tuple[dict, bool]:
    """The usage that the model server reported, or LiteLLM's count, and whether it is that. Missing is not zero.

    LiteLLM makes zeros of a plain answer without usage, and puts its own count into a streamed one without saying so.
    """
    usage = getattr(response, "usage", None)
    told = usage.model_dump() if usage is not None else {}
    totals = (told.get("prompt_tokens") or 0, told.get("completion_tokens") or 0)
    if any(totals) and not kwargs.get("stream"):
        return told, False
    counted = (_tokens(kwargs, kwargs.get("messages") or kwargs.get("input")), _tokens(kwargs, _produced(response)))
    if any(totals):
        # A model server that counts as LiteLLM does is said to be estimated; the charge is the same.
        return told, totals == counted
    return {"prompt_tokens": counted[0], "completion_tokens": counted[1]}, True


def _produced(response: object) -> str:
    """All that the model wrote."""
    parts = []
    for choice in getattr(response, "choices", None) or []:
        message = getattr(choice, "message", None)
        calls = getattr(message, "tool_calls", None) or []
        parts += [getattr(choice, "text", None), getattr(message, "content", None)]
        parts += [getattr(message, "reasoning_content", None), *(str(call) for call in calls)]
    return "".join(part for part in parts if part)


def _tokens(kwargs: dict, text: object) -> int:
    """As LiteLLM counts; a token for every four bytes where it can't."""
    if not text:
        return 0
    messages = isinstance(text, list) and isinstance(text[0], dict)
    plain = text if isinstance(text, str) else json.dumps(text, default=str)
    given = {"messages": text} if messages else {"text": plain, "count_response_tokens": True}
    try:
        return litellm.token_counter(model=kwargs.get("model") or "", **given)
    except Exception:
        log.exception("LiteLLM can't count")
        return -(-len(plain.encode(errors="surrogatepass")) // 4)


def meters(usage: dict) -> dict[str, int]:
    """OpenAI's usage as disjoint meters: details are parts of the totals."""
    counted = {"requests": 1}
    parts = {
        ("prompt", "input_tokens"): {
            "cached_tokens": "cached_input_tokens",
            "cache_write_tokens": "cache_write_tokens",
            "audio_tokens": "input_audio_tokens",
            "image_tokens": "input_image_tokens",
        },
        ("completion", "output_tokens"): {
            "reasoning_tokens": "reasoning_tokens",
            "audio_tokens": "output_audio_tokens",
        },
    }
    for (name, rest), named in parts.items():
        total = usage.get(f"{name}_tokens") or 0
        details = usage.get(f"{name}_tokens_details") or {}
        for part, meter in named.items():
            if units := min(details.get(part) or 0, total):
                counted[meter] = units
                total -= units
        counted[rest] = total
    return counted


async def _body(request: Request) -> dict:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise refused(400, "invalid_request_error", None, "The body has to be a JSON object with a model.")
    for name in body:
        if name in NOT_FOR_CLIENTS or name.startswith(PREFIXES_NOT_FOR_CLIENTS):
            raise refused(400, "invalid_request_error", None, f"`{name}` is not a parameter of this API.")
    return body


def _question(request: Request, secret: str, endpoint: str, body: dict) -> dict[str, object]:
    """What verify wants to know. Sizes are worst cases: a token is at least a byte, and each choice is as long."""
    question: dict[str, object] = {"key": secret, "endpoint": endpoint}
    if request.client:
        question["address"] = request.client.host
    if endpoint == "models":
        return question
    question["model"] = body["model"]
    # An image behind a link is a few bytes here and many tokens there: then Keymeter holds the context window.
    if not MEDIA.search(json.dumps(body.get("messages"))):
        question["input_bytes"] = len(json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass"))
    if endpoint != "embeddings":
        limits = [_integer(body, name) for name in ("max_completion_tokens", "max_tokens")]
        choices = max(1, _integer(body, "n"), _integer(body, "best_of")) * _prompts(body)
        if max(limits):
            question["max_output_tokens"] = max(limits) * choices
        elif choices > 1:
            raise refused(400, "invalid_request_error", None, "Several answers at once need `max_tokens`.")
    return question


def _integer(body: dict, name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _prompts(body: dict) -> int:
    """A list of texts or of lists of tokens has several prompts; a text or a list of tokens is one."""
    prompt = body.get("prompt")
    return len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1


async def _verify(request_id: str, question: dict[str, object]) -> dict:
    """Keymeter's answer. Whatever else comes back is ours to explain, never the customer's: 503."""
    for _ in range(2):
        try:
            answer = await keymeter.post("/v1/keys/verify", json={**question, "request_id": request_id})
        except httpx.HTTPError as error:
            log.warning("Keymeter can't be asked: %r", error)
            continue
        if answer.status_code == 200:
            return answer.json()
        if answer.status_code == 400:
            error = answer.json()["error"]
            raise Refused(400, error)
        log.error("Keymeter answers %s: %s", answer.status_code, answer.text[:200])
        break
    raise undecided()


def _retry_headers(told: dict) -> dict[str, str]:
    waits = told["retry_after_ms"]
    if waits is not None:
        return {"retry-after": str(-(-waits // 1000)), "retry-after-ms": str(waits)}
    return {"x-should-retry": "false"} if told["status"] == 429 else {}


def _settle(request_id: str | None, *, ended: datetime, **went: object) -> None:
    """Once a request: LiteLLM may tell of an attempt and of the whole."""
    asked = verified.pop(request_id or "", None)
    if asked is None:
        return
    line = {
        "request_id": request_id,
        "key": asked.key,
        "org": asked.org,
        "model": asked.model,
        "endpoint": asked.endpoint,
        "stream": asked.stream,
        "tokens": asked.tokens,
        "ended": ended.astimezone(UTC).isoformat(),
        **went,
    }
    task = asyncio.create_task(_told(line))
    running.add(task)
    task.add_done_callback(running.discard)


async def _told(line: dict[str, object]) -> None:
    answer = None
    for attempt in range(SETTLE_TRIES):
        try:
            answer = await keymeter.post("/v1/keys/settle", json=line)
        except httpx.HTTPError as error:
            log.warning("Keymeter can't be told of %s: %r", line["request_id"], error)
        else:
            if answer.status_code == 200:
                return
            if answer.status_code == 400:
                break
        await asyncio.sleep(min(2.0**attempt, SLOWEST_SECONDS))
    # Nobody else has it: the line can be sent to /v1/keys/settle by hand.
    log.error("not settled: %s %s", json.dumps(line), answer.text[:200] if answer else "")


def _forget() -> None:
    """Requests are remembered in the order in which they came."""
    while verified and next(iter(verified.values())).since < time.monotonic() - FORGET_SECONDS:
        del verified[next(iter(verified))]
