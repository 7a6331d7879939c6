"""Receiving segments: archived first, then a row, then a hint to the workers."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from billing import archive
from billing.models import Segment
from billing.tasks import post_segment
from config import enqueue

IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
LONGEST_SOURCE = 80


class IntakeError(ValueError):
    """A segment that can't be taken; the message says why."""


class OtherContentError(IntakeError):
    """An identity that is known with other content."""


def receive_segment(
    identity: str,
    content: bytes,
    *,
    source: str,
    origin: Segment.Origin,
    now: datetime,
    organizations: Sequence[str] = (),
) -> Segment:
    """Archive and register a segment; the same identity and content again is the same segment.

    `organizations` are those that the sender may write for, public ids; none means all.
    Raises IntakeError, and OtherContentError where the identity is known with other content.
    """
    if not IDENTITY.fullmatch(identity):
        raise IntakeError("A segment's identity has up to 150 letters, digits, dots, dashes and underscores.")
    if len(source) > LONGEST_SOURCE:
        raise IntakeError(f"A source's name has up to {LONGEST_SOURCE} characters.")
    digest = hashlib.sha256(content).hexdigest()
    known = Segment.objects.filter(identity=identity).first()
    if known is None:
        path = archive.store(f"{now:%Y/%m/%d}/{identity}.jsonl", content)
        segment = Segment(
            identity=identity,
            source=source,
            organizations=list(organizations),
            origin=origin,
            path=path,
            size_bytes=len(content),
            sha256=digest,
            received_at=now,
        )
        with transaction.atomic():
            Segment.objects.bulk_create([segment], ignore_conflicts=True)
            known = Segment.objects.get(identity=identity)
            # Only a hint: the sweep finds what the workers were not told of.
            enqueue.after_commit(post_segment, known.pk)
    if known.sha256 != digest:
        raise OtherContentError(f"Segment {identity} is known with other content.")
    return known
