"""A record of a foreign log, and what all formats need: ids that are the same each time, outcomes, moments."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Self
from uuid import UUID

import msgspec

from billing.reported import bounded

_decoder = msgspec.json.Decoder(float_hook=Decimal)
# Of any number in a record.
LARGEST = 1 << 62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What must never be archived: contents of requests and answers.
CONTENT = frozenset({"messages", "response", "error_str", "input", "output", "prompt", "completion", "request", "body"})
ENDPOINTS = {
    "chat/completions": "chat.completions",
    "completions": "completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "images/generations": "images.generations",
    "images/edits": "images.edits",
    "images/variations": "images.variations",
    "audio/transcriptions": "audio.transcriptions",
    "audio/translations": "audio.translations",
    "audio/speech": "audio.speech",
    "rerank": "rerank",
    "moderations": "moderations",
    "messages": "messages",
}


class UnreadableError(ValueError):
    """A record of which no usage line can be made; the message says why, and what to log."""


class NotUsageError(Exception):
    """A record that is no usage, such as Keymeter's own refusal in a log."""


class Record:
    """A JSON object, asked for its members by any of their names. Empty texts, dashes and nulls are not there."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = members

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises UnreadableError."""
        try:
            members = _decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation) as error:
            raise UnreadableError(f"not JSON: {error}") from error
        if not isinstance(members, dict):
            raise UnreadableError("not a JSON object")
        return cls(members)

    def get(self, *names: str) -> Any:
        for name in names:
            value = self.members.get(name)
            if value not in (None, "", "-"):
                return value
        return None

    def text(self, *names: str) -> str:
        """Raises UnreadableError where none is there."""
        value = self.get(*names)
        if not isinstance(value, str):
            raise UnreadableError(f"it has no `{names[0]}`")
        return value

    def optional(self, *names: str) -> str:
        value = self.get(*names)
        return value if isinstance(value, str) else ""

    def whole(self, *names: str) -> int | None:
        """A whole number, written as one or as text; None where none is there. Raises UnreadableError for others."""
        value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, str) and value.isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST:
            raise UnreadableError(f"`{names[0]}` is no count: {str(value)[:40]}")
        return value

    def told(self, *names: str) -> str:
        """As text, whatever it is; empty where none is there."""
        value = self.get(*names)
        return "" if value is None else str(value)

    def inner(self, name: str) -> "Record":
        value = self.members.get(name)
        return Record(value if isinstance(value, Mapping) else {})


Reader = Callable[[Record], dict[str, Any]]


def moment(value: Any, name: str) -> datetime:
    """Unix seconds, or RFC 3339 with a zone; to the millisecond. Raises UnreadableError."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            found = datetime.fromisoformat(value)
            if found.tzinfo is None:
                raise UnreadableError(f"`{name}` has no time zone")
            return EPOCH + (found - EPOCH) // timedelta(milliseconds=1) * timedelta(milliseconds=1)
        return EPOCH + duration(value, name)
    except (ValueError, OverflowError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"`{name}` is no time: {str(value)[:40]}") from error


def duration(seconds: Any, name: str) -> timedelta:
    """To the millisecond. Raises UnreadableError, and OverflowError beyond what a timedelta holds."""
    told = bounded(seconds)
    if told is None:
        raise UnreadableError(f"`{name}` is no number: {str(seconds)[:40]}")
    return timedelta(milliseconds=int(told * 1000))


def identified(record: Record, started: datetime, format_: str, own_id: str, *others: str) -> dict[str, Any]:
    """`id` and `time`: Keymeter's request id where the record carries it, else one derived from what never changes.

    Only a field by this very name is believed: an `x-request-id` may be a client's, who could send the same each time.
    """
    told = record.optional("keymeter_request_id")
    if not told:
        return {"id": derived_id(started, format_, own_id, *others), "time": started}
    try:
        request_id = UUID(told)
    except ValueError as error:
        raise UnreadableError("`keymeter_request_id` is no UUID") from error
    if request_id.version != 7:
        raise UnreadableError("`keymeter_request_id` is no UUIDv7")
    return {"id": request_id, "time": EPOCH + timedelta(milliseconds=request_id.int >> 80)}


def derived_id(started: datetime, format_: str, own_id: str, *others: str) -> UUID:
    """A UUIDv7 whose milliseconds are the record's own time and whose rest is a hash of its own id and of `others`.

    Others are what tells requests apart whose id a client chose, the same for each. Not the source: a record that comes
    by two ways is one event. Raises UnreadableError where it has no id: what can't be told apart is never one event.
    """
    if not own_id:
        raise UnreadableError("it has no id of its own: log one, such as `x-request-id`")
    milliseconds = (started - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 1 << 48:
        raise UnreadableError("its time is not of our age")
    rest = int.from_bytes(
        hashlib.sha256("\x1f".join((format_, own_id, *others)).encode("utf-8", "replace")).digest()[:10]
    )
    return UUID(int=milliseconds << 80 | 7 << 76 | (rest >> 62 & 0xFFF) << 64 | 2 << 62 | rest & (1 << 62) - 1)


def ended(started: datetime, milliseconds: int | None) -> datetime | None:
    """None where nobody says, or what is said can't be."""
    if milliseconds is None or milliseconds > 10**9:
        return None
    return started + timedelta(milliseconds=milliseconds)


def outcome_of(status: int) -> str:
    """Of the status that the client got."""
    if status in (0, 499):
        return "client_disconnected"
    if status in (408, 504):
        return "timeout"
    if status >= 500 or status == 429:
        return "upstream_error"
    return "refused" if status >= 400 else "completed"


def endpoint_of(path: str) -> str:
    """Of a path such as `/v1/chat/completions?x=y`: the longest ending that is known."""
    parts = path.partition("?")[0].strip("/").split("/")
    found = ENDPOINTS.get("/".join(parts[-2:])) or ENDPOINTS.get(parts[-1])
    return found or (".".join(parts)[-40:] or "unknown")


def kept(record: Record) -> dict[str, Any]:
    """What may be archived of a record that couldn't be read: numbers and short texts, never content."""
    return {name[:80]: _kept(value, 4) for name, value in list(record.members.items())[:100] if name not in CONTENT}


def _kept(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        members = list(value.items())[:50] if depth else []
        return {str(name)[:80]: _kept(inner, depth - 1) for name, inner in members if name not in CONTENT}
    if isinstance(value, bool) or value is None or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    return str(value)[:200].replace("\0", "\\x00") if isinstance(value, str | int | Decimal) else None
