"""How many values raw JSON has, counted by its bytes: millions of small objects, made of ten megabytes, would stop
everybody else's requests for seconds."""

import re

from gateway import errors

# Ten thousand messages of ten values each: a fraction of what fits into a body.
MOST_VALUES = 100_000
_TOKENS = re.compile(rb"\[[\d\s,]*\]")


def check(raw: bytes, name: str) -> None:
    """Raises ApiError where a member has more values than anybody sends."""
    if len(raw) > MOST_VALUES and _marks(raw) > MOST_VALUES:
        bare = _without_escapes(raw)
        # Each text is a value, or a name.
        if bare.count(b'"') > 2 * MOST_VALUES or _marks(_outside(bare)) > MOST_VALUES:
            raise errors.bad_request(f"`{name}` has more than {MOST_VALUES:,} values.", param=name)


def are_tokens(raw: bytes) -> bool:
    """Whether that is a list of whole numbers."""
    return raw[:1] == b"[" and _TOKENS.fullmatch(raw) is not None


def prompts(raw: bytes, most: int) -> int:
    """A list of texts or of lists of tokens has several prompts; a text or a list of tokens is one.

    More than `most` are said to be one more than that.
    """
    if raw[:1] != b"[" or are_tokens(raw):
        return 1
    bare = _without_escapes(raw)
    if bare.count(b'"') > 2 * most:
        return most + 1
    outside = _outside(bare)
    if outside.count(b"[") > most + 1:
        return most + 1
    return min(most, _TOKENS.sub(b"", outside[1:-1]).count(b",")) + 1


def has_objects(raw: bytes) -> bool:
    """Whether anything in it is a JSON object."""
    return b"{" in raw and b"{" in _outside(_without_escapes(raw))


def _marks(raw: bytes) -> int:
    """There are never more values than these."""
    return raw.count(b",") + raw.count(b"{") + raw.count(b"[")


def _without_escapes(raw: bytes) -> bytes:
    return raw.replace(b"\\\\", b"").replace(b'\\"', b"")


def _outside(bare: bytes) -> bytes:
    """What is outside of texts."""
    return b"".join(bare.split(b'"')[::2])
