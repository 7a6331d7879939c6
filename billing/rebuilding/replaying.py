"""Posting the archived segments again, in the order in which they were posted."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.core.files import File
from django.core.files.storage import storages
from django.db import connection

from billing.archive import read_lines
from billing.models import Segment
from billing.posting import post_segment
from billing.proofs.shape import Finding
from billing.rebuilding.scratch import SCHEMA, see_as_of

# A line that no rules let in: what stood there was quarantined, and is again.
WITHHELD = b"-"


class _Posted(NamedTuple):
    pk: int
    identity: str
    path: str
    sha256: str
    posted_at: datetime
    number: int
    quarantined: int


def how_many() -> int:
    return Segment.objects.exclude(posted_at=None).count()


def replay(real: str, tick: Callable[[int], None]) -> Finding:
    """Post all segments again, within a scratch schema; find those whose file is gone or isn't what came in."""
    found = Finding()
    for segment in _in_order(real):
        found += _replay(segment, real)
        tick(1)
    return found


def _in_order(real: str) -> Iterator[_Posted]:
    # A cursor at the server: there are a segment a second and gateway.
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT id, identity, path, sha256, posted_at, coalesce(number, 0), quarantined"  # noqa: S608
            f" FROM {real}.billing_segment WHERE posted_at IS NOT NULL ORDER BY number NULLS FIRST, posted_at, id"
        )
        while rows := cursor.fetchmany(500):
            yield from (_Posted(*row) for row in rows)


def _replay(segment: _Posted, real: str) -> Finding:
    callbacks = len(connection.run_on_commit)
    try:
        if _digest(segment.path) != segment.sha256:
            return Finding(1, 1, f"segment {segment.pk} ({segment.identity}): its file isn't what came in")
        with _without_quarantined(segment, real) as (path, changed):
            _register(segment, path, real)
            see_as_of(segment.number)
            _discard_temporary()
            post_segment(segment.pk, now=segment.posted_at)
        if changed:
            told = f"segment {segment.pk} ({segment.identity}): quarantined line {changed[0]} isn't what came in"
            return Finding(1, 1, told)
    except OSError as error:
        return Finding(1, 1, f"segment {segment.pk} ({segment.identity}): its file can't be read: {error}")
    finally:
        del connection.run_on_commit[callbacks:]
    return Finding(1)


def _digest(path: str) -> str:
    with storages["archive"].open(path) as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _discard_temporary() -> None:
    """What a posting leaves to its commit to empty: all these postings are of one transaction."""
    with connection.cursor() as cursor:
        cursor.execute("DISCARD TEMP")


@contextmanager
def _without_quarantined(segment: _Posted, real: str) -> Iterator[tuple[str, list[int]]]:
    """The file to post: where lines were quarantined, a copy without them; and those whose text isn't the file's.

    They were for what was known then: a key, a model, a price that came later. If they were replayed, that is a segment
    of its own.
    """
    if not segment.quarantined:
        yield segment.path, []
        return
    withheld = _quarantined_lines(segment.pk, real)
    storage = storages["archive"]
    with tempfile.TemporaryFile() as copy:
        for number, line in enumerate(read_lines(segment.path), 1):
            digest = withheld.get(number)
            copy.write((WITHHELD if digest else line) + b"\n")
            if digest == hashlib.sha256(line).digest():
                del withheld[number]
        copy.seek(0)
        path = storage.save(f"rebuilding/{segment.identity}.jsonl", File(copy))
    try:
        yield path, sorted(withheld)
    finally:
        storage.delete(path)


def _quarantined_lines(segment_id: int, real: str) -> dict[int, bytes]:
    """By their numbers, the digests of their texts."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT line, sha256(raw) FROM {real}.billing_quarantinedline WHERE segment_id = %s",  # noqa: S608
            [segment_id],
        )
        return {line: bytes(digest) for line, digest in cursor.fetchall()}


def _register(segment: _Posted, path: str, real: str) -> None:
    """The segment as it was before it was posted, but that it keeps when it was."""
    unposted: dict[str, Any] = {"posted_at": None, "number": None, "first_seq": None, "last_seq": None, "path": path}
    unposted |= dict.fromkeys(("lines", "new", "duplicate", "quarantined"), 0)
    unposted["new_by_day"] = "{}"
    columns = [str(field.column) for field in Segment._meta.concrete_fields]
    kept = [column for column in columns if column not in unposted]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {SCHEMA}.billing_segment ({', '.join([*kept, *unposted])}) OVERRIDING SYSTEM VALUE"  # noqa: S608
            f" SELECT {', '.join(kept)}{', %s' * len(unposted)} FROM {real}.billing_segment WHERE id = %s",
            [*unposted.values(), segment.pk],
        )
