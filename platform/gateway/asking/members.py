"""The members of a JSON body, which stay raw until one is asked for."""

from typing import Any

import msgspec

from gateway import errors
from gateway.asking import bulk

Members = dict[str, msgspec.Raw]


def value(members: Members, name: str) -> Any:
    """A member's value; None where it is missing. Raises ApiError where it is no JSON, or large or nested absurdly."""
    if name not in members:
        return None
    if len(members[name]) > bulk.MOST_VALUES:
        bulk.check(bytes(members[name]), name)
    try:
        return msgspec.json.decode(members[name])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.NOT_JSON from None


def integer(members: Members, name: str, least: int, most: int) -> int | None:
    """A member that is a whole number; None where it is missing. Raises ApiError."""
    found = value(members, name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise errors.bad_request(f"`{name}` has to be an integer from {least} to {most}.", param=name)
    return found
