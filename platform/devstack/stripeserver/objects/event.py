"""An event: what happened, and the object as it was then."""

from devstack.stripeserver.store import Json
from devstack.stripeserver.version import VERSION


def event(name: str, now: int, kind: str, thing: Json, previous: Json | None, request: Json) -> Json:
    return {
        "id": name,
        "object": "event",
        "api_version": VERSION,
        "created": now,
        "data": {"object": thing} | ({"previous_attributes": previous} if previous is not None else {}),
        "livemode": False,
        "pending_webhooks": 0,
        "request": dict(request),
        "type": kind,
    }
