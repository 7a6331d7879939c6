"""What upstreams store for organizations, as gateways tell each other: whose it is, and which route made it.

Valkey keeps it for a while only (STORED_HOT_SECONDS); PostgreSQL has it once the request's line is posted.
"""

import re

import msgspec

# What an upstream's id may be: nothing that means anything in a path.
ID = re.compile(r"[A-Za-z0-9_=-]{1,512}")


class Stored(msgspec.Struct, frozen=True):
    """The public id of the model and the id of the route that made it."""

    model: str
    route: int


decoder = msgspec.json.Decoder(Stored)


def is_id(told: object) -> bool:
    """Whether that can be an id of something stored."""
    return isinstance(told, str) and ID.fullmatch(told) is not None


def name_of(org: str, kind: str, upstream_id: str) -> str:
    """Where it is in Valkey."""
    return f"km:{{{org}}}:stored:{kind}:{upstream_id}"
