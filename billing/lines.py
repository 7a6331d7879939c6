"""Usage log lines, version 1: what gateways write and the worker reads. Validated here, once, into a typed object."""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from billing.meters import METERS, MOST_UNITS

LONGEST_LINE = 64 * 1024
LARGEST_CLAIM = 2**63 - 1

Text = Annotated[str, Meta(min_length=1, max_length=200)]
ShortText = Annotated[str, Meta(max_length=60)]
Count = Annotated[int, Meta(ge=0, le=MOST_UNITS)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]
Outcome = Literal["completed", "client_disconnected", "upstream_error", "refused", "timeout", "hold_exhausted"]
Meter = Literal[METERS]  # type: ignore[valid-type]


class UsageLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One client request. `time` is its admission and equals the timestamp in `id`."""

    v: Literal[1]
    id: UUID
    source: Annotated[str, Meta(min_length=1, max_length=80)]
    # Without gaps, per source, from 1. 0 where the source has no numbers: then nobody can say what is missing of it.
    seq: Annotated[int, Meta(ge=0, le=2**62)]
    time: Moment
    key: Text
    model: Text
    endpoint: Annotated[str, Meta(min_length=1, max_length=40)]
    status: Annotated[int, Meta(ge=0, le=999)]
    outcome: Outcome
    usage: dict[Meter, Count]
    org: str = ""
    secret: str = ""
    variant: ShortText = ""
    stream: bool = False
    ended: Moment | None = None
    ttft_ms: Milliseconds | None = None
    attempts: Annotated[int, Meta(ge=0, le=1000)] = 1
    route: str = ""
    upstream_request_id: Annotated[str, Meta(max_length=200)] = ""
    # The id by which the upstream keeps the answer, of Keymeter's own gateways.
    stored: Annotated[str, Meta(max_length=512)] = ""
    estimated: bool = False
    # Which version of our count, where `estimated`.
    estimator: Annotated[int, Meta(ge=0, le=2**15 - 1)] = 0
    tags: dict[str, str] = {}
    charge_nanos: Annotated[int, Meta(ge=0, le=LARGEST_CLAIM)] | None = None
    # The gateway that said so, where the source only wrote it down.
    via: Annotated[str, Meta(max_length=80)] = ""


class LineError(ValueError):
    """A line that isn't a usage line; the message says what is wrong with it."""


class Unread(msgspec.Struct):
    """A record of a foreign format that became no usage line: what was kept of it, and why."""

    format: str
    reason: str
    record: Any


class _UnreadLine(msgspec.Struct):
    unread: Unread


class _Numbered(msgspec.Struct):
    source: str
    seq: Annotated[int, Meta(ge=1, le=2**62)]


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_decoder = msgspec.json.Decoder(UsageLine)
_numbered = msgspec.json.Decoder(_Numbered)
_unread = msgspec.json.Decoder(_UnreadLine)


def parse(raw: bytes) -> UsageLine:
    """Read one line. Raises LineError."""
    if len(raw) > LONGEST_LINE:
        raise LineError(f"longer than {LONGEST_LINE} bytes")
    # An escaped backslash before `u0000` is a text about it.
    if b"\\u0000" in raw and _NUL.search(raw):
        raise LineError("has a NUL character")
    try:
        line = _decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        unread = unread_of(raw)
        raise LineError(f"{unread.format}: {unread.reason}" if unread else str(error)) from error
    number = line.id.int
    if number >> 76 & 15 != 7 or number >> 62 & 3 != 2:
        raise LineError("`id` is not a UUIDv7")
    if number >> 80 != round(line.time.timestamp() * 1000):
        raise LineError("`time` is not the timestamp of `id`")
    return line


def parse_strictly(raw: bytes) -> UsageLine:
    """As `parse`, for lines that may be written by hand: names given twice, which have two meanings, are refused.

    Of what Keymeter's gateways write there is nothing to look at, so their lines are spared it.
    """
    line = parse(raw)
    if encode(line) != raw:
        try:
            json.loads(raw, object_pairs_hook=_once)
        except LineError:
            raise
        except (ValueError, RecursionError) as error:
            raise LineError("can't be read with certainty") from error
    return line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LineError(f"says `{twice[:40]}` twice")
    return members


def number_of(raw: bytes) -> tuple[str, int] | None:
    """The source and sequence number of a line that `parse` refuses, where they can be read all the same."""
    try:
        line = _numbered.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return line.source, line.seq


def unread_of(raw: bytes) -> Unread | None:
    """What `encode_unread` wrote; None for anything else."""
    try:
        return _unread.decode(raw).unread
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode_unread(unread: Unread) -> bytes:
    return msgspec.json.encode(_UnreadLine(unread))


def encode(line: UsageLine) -> bytes:
    """The line as written, without its newline."""
    return msgspec.json.encode(line)
