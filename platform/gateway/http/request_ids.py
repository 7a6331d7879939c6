"""Request ids are UUIDv7: the first 48 bits are the admission's Unix milliseconds."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID, SafeUUID

import uuid_utils

# How far the clock of a gateway that brings an id may be from ours.
BROUGHT_WITHIN_MS = 5_000


class RequestId(UUID):
    """One that is made here. Its text and its moment are asked for again and again."""

    __slots__ = ("_text", "moment")

    moment: datetime
    _text: str

    def __init__(self) -> None:
        made = uuid_utils.uuid7()
        # UUIDs can't be assigned to, and parse what they are made of.
        give = partial(object.__setattr__, self)
        give("int", made.int)
        give("is_safe", SafeUUID.unknown)
        give("_text", str(made))
        give("moment", datetime.fromtimestamp(made.timestamp / 1000, UTC))

    def __str__(self) -> str:
        return self._text


def new_request_id() -> RequestId:
    return RequestId()


def milliseconds_of(request_id: UUID) -> int:
    return request_id.int >> 80


def moment_of(request_id: UUID) -> datetime:
    """The time in a UUIDv7."""
    if isinstance(request_id, RequestId):
        return request_id.moment
    return datetime.fromtimestamp(milliseconds_of(request_id) / 1000, UTC)
