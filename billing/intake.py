"""Receiving segments: archived first, then a row, then a hint to the workers."""

import hashlib
import os
import re
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import IO

from django.db import transaction

from billing import archive
from billing.models import Segment
from billing.tasks import post_segment
from billing.unpacking import too_many
from config import enqueue

IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
LONGEST_SOURCE = 80
# Kept beside the archived file: what its row is made of again where PostgreSQL has lost it.
DESCRIBED = (
    *("identity", "source", "sent_by", "sent_sha256", "format", "organizations", "origin", "received_at"),
    *("size_bytes", "sha256", "skipped"),
)
# Of one segment, which a worker posts in one transaction: in some seconds. 64 MiB of true usage have fewer.
MOST_LINES = 300_000


class IntakeError(ValueError):
    """A segment that can't be taken; the message says why."""


class OtherContentError(IntakeError):
    """An identity that is known with other content."""


def receive_shipped(
    identity: str, content: bytes, *, source: str, sent_by: str, organizations: Sequence[str], now: datetime
) -> tuple[Segment, bool]:
    """As `receive_segment`, of what a gateway ships under a name that it chose.

    Such a name begins with its source and a dot. None of ours has a dot, so nobody can take the name that a batch or a
    replay will have, nor another source's. Raises TooLargeError for too many lines.
    """
    if not identity.startswith(f"{source}."):
        raise IntakeError("A segment's identity begins with its source and a dot.")
    if content.count(b"\n") + (not content.endswith(b"\n")) > MOST_LINES:
        raise too_many(MOST_LINES)
    return receive_segment(
        identity,
        content,
        source=source,
        origin=Segment.Origin.GATEWAY,
        sent_by=sent_by,
        organizations=organizations,
        now=now,
    )


def receive_segment(
    identity: str,
    content: bytes,
    *,
    source: str,
    origin: Segment.Origin,
    now: datetime,
    sent_by: str = "",
    organizations: Sequence[str] = (),
) -> tuple[Segment, bool]:
    """Archive and register a segment, and whether it is new; the same identity and content again is the same segment.

    `sent_by` is the sender's credential, and `organizations` are those that it may write for, public ids; none means
    all. Raises IntakeError, and OtherContentError where the identity is known with other content, or as another's.
    """
    segment = Segment(
        identity=identity,
        source=source,
        organizations=list(organizations),
        origin=origin,
        sent_by=sent_by,
        received_at=now,
    )
    known, new = receive_file(segment, BytesIO(content))
    sent = (source, origin, hashlib.sha256(content).hexdigest())
    if not new and (known.source, known.origin, known.sha256) != sent:
        raise OtherContentError(f"Segment {identity} is known with other content.")
    return known, new


def receive_file(segment: Segment, content: IO[bytes]) -> tuple[Segment, bool]:
    """Archive and register what `segment` describes, read by portions; the row there is then, and whether it is new.

    Raises IntakeError.
    """
    if not IDENTITY.fullmatch(segment.identity):
        raise IntakeError("A segment's identity has up to 150 letters, digits, dots, dashes and underscores.")
    if len(segment.source) > LONGEST_SOURCE:
        raise IntakeError(f"A source's name has up to {LONGEST_SOURCE} characters.")
    if known := Segment.objects.filter(identity=segment.identity).first():
        return known, False
    content.seek(0)
    segment.sha256 = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    segment.size_bytes = content.seek(0, os.SEEK_END)
    content.seek(0)
    segment.path = archive.store(f"{segment.received_at:%Y/%m/%d}/{segment.identity}.jsonl", content)
    archive.describe(segment.path, {name: getattr(segment, name) for name in DESCRIBED})
    with transaction.atomic():
        Segment.objects.bulk_create([segment], ignore_conflicts=True)
        known = Segment.objects.get(identity=segment.identity)
        # Only a hint: the sweep finds what the workers were not told of.
        enqueue.after_commit(post_segment, known.pk)
    new = known.path == segment.path
    if not new:
        # Another process was faster.
        archive.remove(segment.path)
    return known, new
