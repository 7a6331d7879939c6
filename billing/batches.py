"""Usage sent in one piece, in any format: made lines of, archived and registered as one segment, or nothing of it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings

from accounts import secrets
from accounts.models import ApiKeySecret
from billing.adapters import LONGEST_LINE, LONGEST_RECORD, FindKey, Format, convert
from billing.intake import MOST_LINES, OtherContentError, receive_file
from billing.models import Segment
from billing.unpacking import limited, records

# Unpacked. A worker posts it in one transaction.
LARGEST = 64 * 1024 * 1024
IN_MEMORY = 1024 * 1024
# A file becomes segments of about this size, and of no more lines.
CHUNK = 16 * 1024 * 1024
CHUNK_LINES = 100_000
# So long a line is no usage line, but kept to be looked at.
MOST_LINE = 4 * LONGEST_LINE


@dataclass(frozen=True)
class Sender:
    """Who sends: the source that lines are written as, and whose usage it may write (public ids; none is all)."""

    source: str
    origin: Segment.Origin
    credential: str = ""
    # Of a credential: two with the same content send two batches.
    mark: str = ""
    organizations: Sequence[str] = ()


def receive_batch(
    portions: Iterable[bytes], sender: Sender, format_: Format, *, now: datetime, idempotency_key: str = ""
) -> tuple[Segment, bool]:
    """Archive and register a batch; whether it is new.

    The same key, or without one the same content, is the same batch. Raises UnpackingError, IntakeError, and
    OtherContentError where the key is known with other content; nothing of the batch is stored then.
    """
    digested = _Digested(limited(portions, LARGEST))
    raws = records(digested, longest(format_), MOST_LINES)
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        skipped = _write(raws, file, sender.source, format_)
        sent = digested.whole()
        told = f"key:{idempotency_key}" if idempotency_key else f"content:{sent}"
        return _register(file, sender, format_, told, sent, skipped, now)


def receive_chunk(raws: Sequence[bytes], sender: Sender, format_: Format, *, now: datetime) -> tuple[Segment, bool]:
    """As `receive_batch`, of records that were cut out of a file."""
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        skipped = _write(iter(raws), file, sender.source, format_)
        sent = hashlib.sha256(b"\n".join(raws)).hexdigest()
        return _register(file, sender, format_, f"content:{sent}", sent, skipped, now)


def chunks(raws: Iterable[bytes]) -> Iterator[list[bytes]]:
    """A file's records in portions that make a segment each: the same ones, however often it is read."""
    chunk: list[bytes] = []
    size = 0
    for raw in raws:
        chunk.append(raw)
        size += len(raw)
        if size >= CHUNK or len(chunk) >= CHUNK_LINES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def longest(format_: Format) -> int:
    """Of a record of this format, in bytes."""
    return MOST_LINE if format_.read is None else LONGEST_RECORD


class _Digested:
    """Portions, and the digest of them all once they were read."""

    def __init__(self, portions: Iterable[bytes]) -> None:
        self._portions = iter(portions)
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for portion in self._portions:
            self._digest.update(portion)
            yield portion

    def whole(self) -> str:
        """Hexadecimal; what nobody read yet is read."""
        for _ in self:
            pass
        return self._digest.hexdigest()


def _register(
    file: IO[bytes], sender: Sender, format_: Format, told: str, sent: str, skipped: int, now: datetime
) -> tuple[Segment, bool]:
    segment = Segment(
        identity=_identity(sender, format_, told),
        source=sender.source,
        organizations=list(sender.organizations),
        origin=sender.origin,
        sent_by=sender.credential,
        sent_sha256=sent,
        format=format_.name,
        skipped=skipped,
        received_at=now,
    )
    known, new = receive_file(segment, file)
    if known.sent_sha256 != sent:
        raise OtherContentError("This Idempotency-Key was used with other content.")
    return known, new


def _write(raws: Iterator[bytes], file: IO[bytes], source: str, format_: Format) -> int:
    """Write records as usage lines; return how many are no usage. Raises UnpackingError."""
    skipped = 0
    find_key = finder()
    for raw in raws:
        line = convert(raw, format_, source, find_key)
        if line is None:
            skipped += 1
        else:
            file.write(line + b"\n")
    return skipped


def finder() -> FindKey:
    """Look keys up by the SHA-256 of a secret, each once."""

    @lru_cache(maxsize=10_000)
    def find(digest: str) -> str | None:
        for pepper_id, pepper in settings.KEY_PEPPERS.items():
            stored = secrets.peppered(bytes.fromhex(digest), pepper)
            found = ApiKeySecret.objects.filter(pepper_id=pepper_id, digest=stored).select_related("api_key").first()
            if found:
                return str(found.api_key.public_id)
        return None

    return find


def _identity(sender: Sender, format_: Format, told: str) -> str:
    parts = "\x1f".join((sender.mark, sender.source, format_.name, told))
    return f"{sender.origin}-{hashlib.sha256(parts.encode()).hexdigest()[:40]}"
