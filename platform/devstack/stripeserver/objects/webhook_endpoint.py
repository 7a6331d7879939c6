"""A webhook endpoint: an address that events are sent to."""

from typing import Any

from devstack.stripeserver.store import Json
from devstack.stripeserver.version import VERSION


def webhook_endpoint(name: str, now: int, **fields: Any) -> Json:
    """`fields` are url, enabled_events, description and metadata. The secret is shown only when it is made."""
    return {
        "id": name,
        "object": "webhook_endpoint",
        "api_version": VERSION,
        "application": None,
        "created": now,
        "livemode": False,
        "status": "enabled",
        **fields,
    }
