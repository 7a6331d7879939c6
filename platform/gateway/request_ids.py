"""Request ids are UUIDv7: the first 48 bits are the admission's Unix milliseconds."""

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

# How far the clock of a gateway that brings an id may be from ours.
BROUGHT_WITHIN_MS = 5_000


def new_request_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)


def milliseconds_of(request_id: UUID) -> int:
    return request_id.int >> 80


def moment_of(request_id: UUID) -> datetime:
    """The time in a UUIDv7."""
    return datetime.fromtimestamp(milliseconds_of(request_id) / 1000, UTC)
