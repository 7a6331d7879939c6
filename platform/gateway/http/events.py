"""Server-sent events of a stream, cut out of the bytes as they come."""

from collections.abc import Iterator
from typing import Any

import orjson

LONGEST_EVENT = 1024 * 1024
# Of a model that draws: an event has a whole picture.
LONGEST_PICTURE = 32 * 1024 * 1024


class GarbageError(Exception):
    """What came is no stream of events."""


class EventReader:
    """Feed it bytes; it gives whole events, each with its blank line at the end. Lines may end in LF, CRLF or CR."""

    def __init__(self, longest: int = LONGEST_EVENT) -> None:
        self._longest = longest
        self._rest = bytearray()
        # A CR at the end may be half of a CRLF.
        self._carriage_return = b""

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Events that are complete now. Raises GarbageError where one is longer than they may be."""
        content = self._carriage_return + content
        self._carriage_return = b"\r" if content.endswith(b"\r") else b""
        if b"\r" in content:
            content = content.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # What was there before has no end of an event, but perhaps the first half of one.
        begins = max(0, len(self._rest) - 1)
        self._rest += content
        events: list[bytes] = []
        if self._rest.find(b"\n\n", begins) >= 0:
            *events, rest = bytes(self._rest).split(b"\n\n")
            self._rest = bytearray(rest)
        if len(self._rest) > self._longest:
            raise GarbageError("an event without end")
        for event in events:
            yield event + b"\n\n"

    def rest(self) -> bytes:
        """What was left without a blank line when the stream ended."""
        return bytes(self._rest).strip()


def dumped(told: dict[str, Any]) -> bytes:
    """What an event says, as it goes to the client. Raises GarbageError for what is nested absurdly."""
    try:
        return orjson.dumps(told)
    except orjson.JSONEncodeError:
        raise GarbageError("nested too deep") from None


def data(event: bytes) -> bytes | None:
    """The event's data; None for a comment or another field."""
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
