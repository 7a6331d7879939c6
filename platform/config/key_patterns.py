"""IMPORTED_KEY_PATTERNS: how secrets look that another system made, such as `sk-proj-[A-Za-z0-9]{48}`.

A small part of regular expressions: characters, and sets of them with a count. So one can say of each pattern how long
its secrets are and how hard to guess, matching takes linear time, and no pattern lets everything in.
"""

import math
import re
from typing import NamedTuple

LONGEST = 200
LEAST_BITS = 64
ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.~+/=")
_PART = re.compile(r"(?P<set>\[[A-Za-z0-9_.~+/=-]+\])\{(?P<least>\d+)(?:,(?P<most>\d+))?\}|[A-Za-z0-9_~/=-]|\\[.+]")


class KeyPattern(NamedTuple):
    """`literal` is what every secret of this pattern begins with."""

    expression: re.Pattern[str]
    literal: str


def key_patterns(raw: str) -> tuple[KeyPattern, ...]:
    """Patterns between spaces. Raises ValueError, which names the first bad one and says what is wrong."""
    return tuple(_pattern(text) for text in raw.split())


def _pattern(text: str) -> KeyPattern:
    at, literal, shortest, longest, bits, varying = 0, "", 0, 0, 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(
                f"in {text!r}, {text[at : at + 12]!r} is no part of a pattern: use letters, digits, - _ ~ / = \\. \\+,"
                " and sets with a count such as [A-Za-z0-9]{40} or [0-9a-f]{32,40}"
            )
        if part["set"] is None:
            literal += part[0].removeprefix("\\") if longest == len(literal) else ""
            shortest, longest = shortest + 1, longest + 1
        else:
            least, most = int(part["least"]), int(part["most"] or part["least"])
            bits += least * math.log2(_size(text, part["set"]))
            shortest, longest, varying = shortest + least, longest + most, varying + (least != most)
            if least > most:
                raise ValueError(f"in {text!r}, {{{least},{most}}} counts backwards")
        at = part.end()
    _refuse_too_much(text, literal, shortest, longest, bits, varying)
    return KeyPattern(re.compile(text, re.ASCII), literal)


def _size(text: str, members: str) -> int:
    try:
        one = re.compile(members)
    except re.error as error:
        raise ValueError(f"in {text!r}, {members} is no set of characters: {error}") from None
    found = {chr(code) for code in range(128) if one.fullmatch(chr(code))}
    if found - ALLOWED:
        raise ValueError(f"in {text!r}, {members} has characters that no key may have: put - last, and name ranges")
    return len(found)


def _refuse_too_much(text: str, literal: str, shortest: int, longest: int, bits: float, varying: int) -> None:
    if longest > LONGEST:
        raise ValueError(f"{text!r} lets in up to {longest} characters; {LONGEST} are the most")
    if bits < LEAST_BITS:
        raise ValueError(f"{text!r} has {bits:.0f} random bits; with fewer than {LEAST_BITS}, keys could be guessed")
    if varying > 1:
        raise ValueError(f"{text!r} has more than one set of varying length; write a pattern for each kind of key")
    if varying and len(literal) < 2:
        raise ValueError(
            f"{text!r} matches too much: let it begin with two or more fixed characters, or give one length"
        )
