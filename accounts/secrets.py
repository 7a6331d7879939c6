"""API key secrets: `<prefix>-<random base62><checksum>`.

The random part has 40 characters, 238 bits. The checksum is the CRC-32 of all before it, as six base62 characters: a
typing error or another vendor's key costs no look-up. Imported ones keep the format that they have. What is stored is
HMAC(pepper, SHA-256(secret)).
"""

import hashlib
import hmac
import zlib
from dataclasses import dataclass, field

from django.conf import settings

from accounts.identifiers import ALPHABET, random_base62
from config.key_patterns import KeyPattern

RANDOM_LENGTH = 40
CHECKSUM_LENGTH = 6
_ALLOWED = frozenset(ALPHABET)


@dataclass(frozen=True)
class NewSecret:
    """A secret as it is shown once, and what is kept of it."""

    text: str = field(repr=False)
    digest: bytes
    pepper_id: int
    prefix: str
    last4: str


def generate(prefix: str) -> NewSecret:
    """Make a secret of the current format, digested with the newest pepper."""
    body = f"{prefix}-{random_base62(RANDOM_LENGTH)}"
    text = body + _checksum(body)
    pepper_id = max(settings.KEY_PEPPERS)
    return NewSecret(text, digest(text, settings.KEY_PEPPERS[pepper_id]), pepper_id, prefix, text[-4:])


def is_well_formed(text: str) -> bool:
    """Whether the text is a secret of ours with its checksum, or fits a pattern of IMPORTED_KEY_PATTERNS."""
    return _is_ours(text) or _imported(text) is not None


def shown_parts(text: str) -> tuple[str, str] | None:
    """What may be shown of a secret made elsewhere: how it begins, and the last four. None where it isn't let in."""
    if _is_ours(text):
        return (text.rpartition("-")[0] + "-")[:20], text[-4:]
    pattern = _imported(text)
    return (pattern.literal[:20], text[-4:]) if pattern else None


def takes_imports() -> bool:
    """Whether there are patterns at all."""
    return bool(settings.IMPORTED_KEY_PATTERNS)


def _imported(text: str) -> KeyPattern | None:
    return next((pattern for pattern in settings.IMPORTED_KEY_PATTERNS if pattern.expression.fullmatch(text)), None)


def _is_ours(text: str) -> bool:
    """Any prefix will do: it belongs to the secret."""
    prefix, dash, tail = text.rpartition("-")
    return (
        bool(prefix and dash)
        and len(text) <= 100
        and len(tail) == RANDOM_LENGTH + CHECKSUM_LENGTH
        and _ALLOWED.issuperset(tail)
        and text.isascii()
        and _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]
    )


def digests(text: str) -> list[tuple[int, bytes]]:
    """The digests that a stored secret may have: one per pepper in use, the newest first."""
    return [
        (pepper_id, digest(text, settings.KEY_PEPPERS[pepper_id])) for pepper_id in sorted(settings.KEY_PEPPERS)[::-1]
    ]


def digest(text: str, pepper: bytes) -> bytes:
    """HMAC(pepper, SHA-256(secret)), 32 bytes."""
    return peppered(sha256(text), pepper)


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def peppered(sha256: bytes, pepper: bytes) -> bytes:
    """What is stored of a secret of which only this is known."""
    return hmac.digest(pepper, sha256, "sha256")


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(CHECKSUM_LENGTH):
        number, remainder = divmod(number, 62)
        characters.append(ALPHABET[remainder])
    return "".join(reversed(characters))
