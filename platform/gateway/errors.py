"""Errors as OpenAI's clients know them, before the dialect says some of them otherwise (`gateway.http.spoken`).

docs/errors.md has the same as a table; a test compares the two.
"""

from dataclasses import dataclass, field

from gateway.deciding.verdicts import Verdict

NO_RETRY = {"x-should-retry": "false"}


# Not frozen: `contextlib` sets the traceback of exceptions that pass through it.
@dataclass
class ApiError(Exception):
    """An answer other than success. `case` is what dialects call it; empty: it has no rule of its own."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    case: str = ""


INVALID = "invalid_request_error"


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, INVALID, code, message, param, case="bad_request")


MISSING_KEY = ApiError(
    401,
    INVALID,
    "invalid_api_key",
    "You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY.",
)
TWO_KEYS = bad_request("The request has two different API keys. Send one.", code="two_api_keys")
NO_GATEWAY = ApiError(
    401,
    INVALID,
    "invalid_gateway_credential",
    "Only gateways may ask this. Show a gateway's credential in the X-Gateway-Credential header.",
)
# Forward-auth's refusals are shown to customers, whose keys are not to blame: with a 401 they would make new ones.
GATEWAY_NOT_KNOWN = ApiError(503, "server_error", NO_GATEWAY.code, NO_GATEWAY.message)
HEADER_ALIAS = bad_request(
    "The request has a header whose name is another's with an underscore or a dot.", code="header_alias"
)
LONGEST_DETAIL = 200
HEADERS_TOO_LARGE = ApiError(431, INVALID, "headers_too_large", "The request's URL and headers are too large.")
TOO_LARGE = ApiError(413, INVALID, "request_too_large", "The request's body is too large.")
TOO_SLOW = ApiError(408, INVALID, "request_timeout", "The request's body didn't arrive in time.")
NOT_JSON = bad_request("We could not parse the JSON body of your request. It has to be a JSON object.")
CONTEXT_LENGTH = bad_request("The text is too long for this model's context window.", code="context_length_exceeded")
NO_SUCH_PATH = ApiError(404, INVALID, "unknown_url", "There is nothing at this URL. Look at the API reference.")
NOT_STORED = ApiError(404, INVALID, "not_found", "You have nothing stored by this id, or it was deleted.", "id")
WRONG_METHOD = ApiError(405, INVALID, "method_not_allowed", "This URL doesn't answer to that method.")
REQUEST_ID_USED = ApiError(
    409,
    INVALID,
    "request_id_used",
    "That `request_id` is another request's, or of one that has ended. Bring a new one for each request.",
    "request_id",
    NO_RETRY,
)
UNAVAILABLE = ApiError(
    503,
    "server_error",
    "service_unavailable",
    "We can't decide on requests right now. Try again.",
    None,
    {"retry-after": "1"},
)
HTTPS_REQUIRED = ApiError(
    403,
    INVALID,
    "https_required",
    "Plain HTTP isn't answered: use https. Rotate this key; others may have read it.",
)
INTERNAL = ApiError(500, "server_error", "internal_error", "Something broke on our side. It is in our logs.")
UPSTREAM_DOWN = ApiError(
    503,
    "server_error",
    "model_unavailable",
    "The model can't be reached right now. Try again.",
    None,
    {"retry-after": "2"},
)
UPSTREAM_BUSY = ApiError(
    503, "server_error", "model_overloaded", "The model is busy right now. Try again.", None, {"retry-after": "5"}
)
UPSTREAM_BROKEN = ApiError(502, "server_error", "bad_gateway", "The model's server gave an answer that makes no sense.")
UPSTREAM_TIMEOUT = ApiError(504, "server_error", "model_timeout", "The model's server didn't answer in time.")
HOLD_EXHAUSTED = ApiError(
    429,
    "insufficient_quota",
    "hold_exhausted",
    "The answer grew longer than what was set aside for it.",
    None,
    NO_RETRY,
)

_REFUSALS = {
    Verdict.MALFORMED: (401, INVALID, "invalid_api_key", "Incorrect API key provided: it isn't one of ours."),
    Verdict.UNKNOWN: (401, INVALID, "invalid_api_key", "Incorrect API key provided."),
    Verdict.REVOKED: (401, INVALID, "invalid_api_key", "This API key was revoked. Create another in the console."),
    Verdict.EXPIRED: (401, INVALID, "invalid_api_key", "This API key has expired. Create another in the console."),
    Verdict.SUSPENDED: (403, INVALID, "organization_suspended", "This organization is suspended. Ask the support."),
    Verdict.ADDRESS_NOT_ALLOWED: (403, INVALID, "address_not_allowed", "This API key may not be used from {detail}."),
    Verdict.SCOPE_MISSING: (401, INVALID, "missing_scope", "This API key lacks the scope for this: {detail}."),
    Verdict.MODEL_NOT_FOUND: (
        404,
        INVALID,
        "model_not_found",
        "The model `{detail}` does not exist or you do not have access to it.",
    ),
    Verdict.BUDGET_EXHAUSTED: (
        429,
        "insufficient_quota",
        "key_budget_exhausted",
        "This API key's budget ({detail}) doesn't cover what this request may cost. Raise it in the console, or wait.",
    ),
    Verdict.RATE_LIMITED: (429, "requests", "rate_limit_exceeded", "Rate limit reached: {detail}. Try again later."),
    Verdict.CONCURRENCY_LIMITED: (
        429,
        "requests",
        "concurrency_limit_exceeded",
        "Too many requests at once: {detail}. Try again when one has ended.",
    ),
    Verdict.INSUFFICIENT_BALANCE: (
        429,
        "insufficient_quota",
        "credit_balance_exhausted",
        "Your balance doesn't cover what this request may cost. Top up, or ask for fewer tokens (max_tokens).",
    ),
}


WORTH_WAITING = (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED)


def refusal(verdict: Verdict, detail: str = "", *, wait_ms: int | None = None) -> ApiError:
    """The error of a verdict other than `allowed`. `wait_ms` is when to try again; negative: it will never fit."""
    status, type_, code, message = _REFUSALS[verdict]
    headers = NO_RETRY if status == 429 else {}
    if verdict in WORTH_WAITING and wait_ms is not None and wait_ms >= 0:
        headers = {"retry-after": str(-(-wait_ms // 1000)), "retry-after-ms": str(wait_ms)}
    param = "model" if verdict is Verdict.MODEL_NOT_FOUND else None
    return ApiError(status, type_, code, message.format(detail=detail[:LONGEST_DETAIL]), param, headers, verdict.value)


# An error that is a constant is named for it.
for _name, _error in list(vars().items()):
    if isinstance(_error, ApiError):
        _error.case = _name.lower()


def every() -> dict[str, ApiError]:
    """One of each case."""
    constants = {error.case: error for error in globals().values() if isinstance(error, ApiError)}
    refusals = {verdict.value: refusal(verdict) for verdict in _REFUSALS}
    return {"bad_request": bad_request("The message says what."), **refusals, **constants}


CASES = frozenset(every())
