"""Stripe's errors: an HTTP status and `{"error": {"type": …, "code": …, "message": …, "param": …}}`."""

from typing import Any

from devstack.stripeserver.store import Json

DOCS = "https://stripe.com/docs/error-codes/"


class Problem(Exception):
    """A refusal. `executed` is False where the operation never began: no result is saved for its idempotency key."""

    def __init__(self, status: int, kind: str, message: str, *, executed: bool = True, **fields: Any) -> None:
        super().__init__(message)
        self.status, self.executed = status, executed
        self.fields: Json = {"message": message, "type": kind}
        self.fields |= {name: value for name, value in fields.items() if value is not None}
        if code := fields.get("code"):
            self.fields["doc_url"] = DOCS + str(code).replace("_", "-")

    def body(self) -> Json:
        return {"error": self.fields}


def invalid(message: str, code: str | None = None, param: str | None = None, *, executed: bool = True) -> Problem:
    """What was asked can't be done, or not now."""
    return Problem(400, "invalid_request_error", message, code=code, param=param, executed=executed)


def malformed(message: str, code: str | None = None, param: str | None = None) -> Problem:
    """The parameters are wrong, so nothing began."""
    return invalid(message, code, param, executed=False)


def missing(kind: str, name: str, param: str) -> Problem:
    message = f"No such {kind}: '{name}'"
    return Problem(404, "invalid_request_error", message, code="resource_missing", param=param, executed=False)
