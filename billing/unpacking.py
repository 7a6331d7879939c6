"""What is sent, unpacked as it comes: gzip, then a JSON array or JSON lines, record by record, in bounded memory."""

import re
import zlib
from collections.abc import Iterable, Iterator

# Of what one step of unpacking may give, whatever the content promises.
PORTION = 256 * 1024
# Of what is packed, at once.
SLICE = 4 * 1024
_MARKS = re.compile(rb'["\\{}\[\],]')
_SPACE = b" \t\r\n"


class UnpackingError(ValueError):
    """What was sent can't be unpacked; the message says why."""


class TooLargeError(UnpackingError):
    """More than is taken at once."""


def inflated(portions: Iterable[bytes], *, most_members: int | None = None) -> Iterator[bytes]:
    """The content of gzip, of several one after another too.

    Raises UnpackingError where it is torn, is none, or has too many members.
    What is behind a member's end is copied for each: so little is read at once that this stays linear.
    """
    unpacker = zlib.decompressobj(31)
    begun, members = False, 0
    content = bytearray()
    for portion in portions:
        for at in range(0, len(portion), SLICE):
            rest = portion[at : at + SLICE]
            while rest := rest if begun else rest.lstrip(b"\0"):
                begun = True
                try:
                    content += unpacker.decompress(rest, PORTION - len(content))
                except zlib.error as error:
                    raise UnpackingError(f"This is no gzip: {error}.") from error
                if len(content) >= PORTION:
                    yield bytes(content)
                    content.clear()
                rest = unpacker.unconsumed_tail
                if unpacker.eof:
                    # Rotated logs are concatenated, and may be padded with zeros.
                    rest = unpacker.unused_data
                    unpacker, begun = zlib.decompressobj(31), False
                    members += 1
                    if most_members is not None and members > most_members:
                        raise UnpackingError(f"More than {most_members} gzips one after another: pack it in one.")
    if content:
        yield bytes(content)
    if begun:
        raise UnpackingError("This gzip is torn: its end is missing.")


def limited(portions: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Raises TooLargeError after so many bytes."""
    size = 0
    for portion in portions:
        size += len(portion)
        if size > most:
            raise TooLargeError(f"More than {most // (1024 * 1024)} MiB: send it in several.")
        yield portion


def records(portions: Iterable[bytes], longest: int, most: int | None = None) -> Iterator[bytes]:
    """The members of a JSON array, or the lines of JSON lines, as they stand; blank ones left out.

    Raises UnpackingError where one is longer than `longest`, or an array is torn or has nothing between two commas;
    TooLargeError where there are more than `most`, blank ones counted.
    """
    portions = iter(portions)
    for portion in portions:
        if begun := portion.lstrip(_SPACE):
            is_array = begun.startswith(b"[")
            rest = _chained(begun if is_array else portion, portions)
            yield from _members(rest, longest, most) if is_array else _lines(rest, longest, most)
            return


def too_many(most: int) -> TooLargeError:
    return TooLargeError(f"More than {most} lines: send it in several.")


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _lines(portions: Iterator[bytes], longest: int, most: int | None) -> Iterator[bytes]:
    left = b""
    number = 1
    for portion in portions:
        *whole, left = (left + portion).split(b"\n")
        if most is not None and number + len(whole) > most + 1:
            raise too_many(most)
        for line in whole:
            _check(line, f"Line {number}", longest)
            number += 1
            if line.strip(_SPACE):
                yield line.rstrip(b"\r")
        _check(left, f"Line {number}", longest)
    if left.strip(_SPACE):
        if most is not None and number > most:
            raise too_many(most)
        yield left


def _members(portions: Iterator[bytes], longest: int, most: int | None) -> Iterator[bytes]:
    """Of an array. Only strings and brackets are looked at: what is wrong inside a member is the reader's to say."""
    depth = given = 0
    in_string = escaped = closed = False
    member = bytearray()
    for portion in portions:
        if closed and portion.strip(_SPACE):
            raise UnpackingError("There is something after the array's end.")
        begin, skip = 0, -1
        if escaped:
            skip, escaped = 0, False
        for found in _MARKS.finditer(portion):
            at, mark = found.start(), found[0]
            if at == skip:
                continue
            if in_string:
                if mark == b"\\":
                    skip, escaped = at + 1, at + 1 == len(portion)
                elif mark == b'"':
                    in_string = False
            elif mark == b'"':
                in_string = True
            elif mark in b"{[":
                depth += 1
                if depth == 1:
                    begin = at + 1
            elif mark in b"}]":
                depth -= 1
            if depth == 0 or (depth == 1 and mark == b"," and not in_string):
                member += portion[begin:at]
                begin = at + 1
                _check(member, "A member of the array", longest)
                if one := _member(member):
                    given += 1
                    if most is not None and given > most:
                        raise too_many(most)
                    yield one
                elif depth or given:
                    raise UnpackingError(f"The array has nothing where its member {given + 1} should be.")
                member.clear()
                if depth == 0:
                    closed = True
                    if portion[begin:].strip(_SPACE):
                        raise UnpackingError("There is something after the array's end.")
                    break
        if not closed:
            member += portion[begin:]
        _check(member, "A member of the array", longest)
    if not closed:
        raise UnpackingError("The array is torn: its end is missing.")


def _check(content: bytes | bytearray, what: str, longest: int) -> None:
    if len(content) > longest:
        raise UnpackingError(f"{what} is longer than {longest // 1024} KiB: this is no usage log.")


def _member(member: bytearray) -> bytes:
    """On one line: between members and names a line break is white space, inside a string it is none of JSON."""
    return bytes(member).strip(_SPACE).replace(b"\r", b" ").replace(b"\n", b" ")
