"""The errors that the references document, as users of the official SDK meet them: what kind, what body, which headers,
and that they cost nothing."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai import APIStatusError

from hotstate.records import Limits
from tests.cast import make_key, make_organization
from tests.seeds.conftest import EVERYTHING, RATE_HEADERS, Vendor, rate_headers

MODEL = "vendor/chat"
HELLO: Any = [{"role": "user", "content": "Hello"}]
SOLD = {MODEL: {"input_tokens": 10**9, "output_tokens": 2 * 10**9}}
LIMITS = Limits(requests_per_minute=60, tokens_per_minute=150_000)
# Nobody's limits.
WITHOUT_RATES = ("wrong key",)

# Of each dialect: by what was done, the error's type and code.
DOCUMENTED: dict[str, dict[str, tuple[str, str | None]]] = {
    "hicap": {
        "bad request": ("invalid_request_error", None),
        "wrong key": ("authentication_error", "invalid_api_key"),
        "no scope": ("permission_error", "missing_scope"),
        "no such model": ("not_found_error", "model_not_found"),
        "too many": ("rate_limit_error", "rate_limit_exceeded"),
        "mistake": ("api_error", "internal_error"),
        "overloaded": ("overloaded_error", "model_unavailable"),
    },
    "hiapi": dict.fromkeys(["bad request", "wrong key", "no scope", "too many", "mistake"], ("new_api_error", "")),
    "hiveops": {
        "bad request": ("invalid_request_error", None),
        "wrong key": ("invalid_request_error", "invalid_api_key"),
        "no balance": ("insufficient_quota", "credit_balance_exhausted"),
        "too many": ("requests", "rate_limit_exceeded"),
        "mistake": ("server_error", "internal_error"),
        "overloaded": ("server_error", "model_unavailable"),
    },
    "haimaker": {
        "bad request": ("invalid_request_error", None),
        "wrong key": ("invalid_request_error", "invalid_api_key"),
        "no such model": ("invalid_request_error", "model_not_found"),
        "too many": ("requests", "rate_limit_exceeded"),
    },
}
RAISED: dict[str, tuple[int, type[APIStatusError]]] = {
    "bad request": (400, openai.BadRequestError),
    "wrong key": (401, openai.AuthenticationError),
    "no scope": (403, openai.PermissionDeniedError),
    "no balance": (403, openai.PermissionDeniedError),
    "no such model": (404, openai.NotFoundError),
    "too many": (429, openai.RateLimitError),
    "mistake": (500, openai.InternalServerError),
    "overloaded": (503, openai.InternalServerError),
}


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, documented in DOCUMENTED.items() for what in documented]
)
def test_a_documented_error_is_raised_by_the_sdk_and_costs_nothing(
    vendor: Callable[[str], Vendor], monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    customer = vendor(name)
    customer.sells(SOLD)
    customer.has_key(limits=LIMITS)
    asks = prepared(what, customer, monkeypatch)
    lines = customer.gateway.written()
    before = charged(customer, lines)
    status, kind = RAISED[what]
    with pytest.raises(kind) as caught:
        customer.client().chat.completions.create(**{"model": MODEL, "messages": HELLO, **asks})
    error = caught.value
    assert (error.status_code, error.type, error.code) == (status, *DOCUMENTED[name][what])
    assert isinstance(error.body, dict)
    assert error.body["message"]
    assert error.response.headers["x-request-id"]
    # What was admitted has a line.
    if what in ("mistake", "overloaded"):
        lines += 1
    assert rate_headers(error.response.headers) == (set() if what in WITHOUT_RATES else RATE_HEADERS)
    if what == "too many":
        assert int(error.response.headers["retry-after"]) > 0
    assert charged(customer, lines) == before


def prepared(what: str, customer: Vendor, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Bring it about; return what is asked for besides."""
    match what:
        case "bad request":
            return {"max_tokens": -1}
        case "no such model":
            return {"model": "vendor/none"}
        case "overloaded":
            return {"messages": [{"role": "user", "content": "!status=503"}]}
        case "wrong key":
            customer.secret = "YOUR_API_KEY"
        case "no scope":
            customer.has_key(limits=LIMITS, scopes=["models"])
        case "no balance":
            _, customer.secret = make_key(make_organization("Without credit"), limits=LIMITS, scopes=EVERYTHING)
        case "too many":
            customer.has_key(limits=replace(LIMITS, requests_per_minute=1))
            customer.client().chat.completions.create(model=MODEL, messages=HELLO)
            customer.gateway.lines()
        case "mistake":
            monkeypatch.setattr("gateway.proxying.whole.pass_on", _broken)
    return {}


def charged(customer: Vendor, lines: int) -> int:
    """Nano-dollars of the organization's requests, of which there are so many; nothing else is held."""
    gateway = customer.gateway
    nanos = sum(line["charge_nanos"] for line in gateway.lines(lines))
    assert gateway.held_nanos() == nanos
    return nanos


async def _broken(*_: Any) -> None:
    raise RuntimeError("a mistake of ours")
