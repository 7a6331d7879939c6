"""Formats in which usage comes: each file reads one, and makes usage lines of its records."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from billing.adapters import access_log, envoy_ai, litellm
from billing.adapters.record import NotUsageError, Reader, Record, UnreadableError, kept
from billing.lines import LONGEST_LINE, Unread, UsageLine, encode, encode_unread, parse, unread_of

KEYMETER = "keymeter"
# A record of a foreign format has content in it, perhaps, which is left out.
LONGEST_RECORD = 4 * 1024 * 1024
MOST_KEPT = 16 * 1024
# Of why a record can't be read.
MOST_TOLD = 300


@dataclass(frozen=True)
class Format:
    """`read` makes the fields of a usage line of a record; None is for lines that are ours already."""

    name: str
    label: str
    read: Reader | None


FORMATS = {
    one.name: one
    for one in (
        Format(KEYMETER, "Keymeter's usage log", None),
        Format("litellm", "LiteLLM's StandardLoggingPayload", litellm.read),
        Format("envoy-ai", "Envoy AI Gateway's access log", envoy_ai.read),
        Format("access-log", "JSON access log of nginx or Envoy", access_log.read),
    )
}
# The API key of this SHA-256 digest of a secret, hexadecimal, by public id.
FindKey = Callable[[str], str | None]
_record = msgspec.json.Decoder()


def convert(raw: bytes, format_: Format, source: str, find_key: FindKey) -> bytes | None:
    """The usage line to archive for a record; None where the record is no usage.

    What can't be read becomes a line that says why, to be quarantined, without what may be content of a request.
    """
    if format_.read is None:
        return raw
    try:
        record = Record.decode(raw)
    except UnreadableError as error:
        text = raw[:MOST_KEPT].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        return encode_unread(Unread(format_.name, str(error)[:MOST_TOLD], text))
    return _line(record, format_.name, format_.read, source, find_key)


def again(raw: bytes, source: str, find_key: FindKey) -> bytes:
    """A quarantined line as it is replayed: a record that couldn't be read is read once more."""
    unread = unread_of(raw)
    format_ = FORMATS.get(unread.format) if unread else None
    if not unread or not format_ or not format_.read or not isinstance(unread.record, dict):
        return raw
    record = Record.decode(msgspec.json.encode(unread.record))
    return _line(record, format_.name, format_.read, source, find_key) or raw


def _line(record: Record, name: str, read: Reader, source: str, find_key: FindKey) -> bytes | None:
    try:
        fields = read(record)
        fields["key"] = _key(fields["key"], find_key)
        line = UsageLine(v=1, source=source, seq=0, **fields)
        # Checked once more, as the worker will.
        encoded = encode(line)
        parse(encoded)
    except NotUsageError:
        return None
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Whatever one record says, those beside it in its batch are taken.
        return encode_unread(Unread(name, str(error)[:MOST_TOLD], kept(record)))
    return encoded


def _key(told: str, find_key: FindKey) -> str:
    """`key_…`, or what LiteLLM keeps of a secret: its SHA-256."""
    if len(told) == 64 and all(character in "0123456789abcdef" for character in told):
        found = find_key(told)
        if found is None:
            raise UnreadableError(f"no API key has the digest {told[:12]}…: import it")
        return found
    return told


__all__ = ["FORMATS", "KEYMETER", "LONGEST_LINE", "LONGEST_RECORD", "Format", "again", "convert"]
