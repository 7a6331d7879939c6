"""Archived files that no row knows: what PostgreSQL forgot, restored from an older backup, and its senders deleted."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
from django.core.files.storage import storages
from django.db import transaction

from billing import archive
from billing.models import Segment
from billing.tasks import post_segment
from config import enqueue

# A younger file may be of a segment that is being received.
YOUNG = timedelta(minutes=10)


class UnregisteredError(ValueError):
    """A file that can't be registered; the message says why."""


def unregistered(now: datetime) -> Iterator[str]:
    """Paths of archived files without a row, in order. Copies of what a row has are none."""
    for folder in archive.folders():
        paths = list(archive.files(folder))
        known = set(Segment.objects.filter(path__startswith=f"{folder}/").values_list("path", flat=True))
        for path in paths:
            if path not in known and _age(path, now) > YOUNG and not _has_row(path):
                yield path


def register(path: str, now: datetime) -> Segment:
    """Register a file by what is written beside it, and let it be posted. Raises UnregisteredError."""
    described = archive.described(path)
    if described is None:
        raise UnregisteredError(f"{path}: nothing beside it says whose it is. Ingest it as a file.")
    segment = Segment(**described, path=path)
    with storages["archive"].open(path) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
            raise UnregisteredError(f"{path} isn't what came in.")
    with transaction.atomic():
        Segment.objects.bulk_create([segment], ignore_conflicts=True)
        registered = Segment.objects.get(identity=segment.identity)
        enqueue.after_commit(post_segment, registered.pk)
    return registered


def _has_row(path: str) -> bool:
    try:
        described = archive.described(path)
    except (OSError, msgspec.MsgspecError):
        return False
    return described is not None and Segment.objects.filter(identity=described["identity"]).exists()


def _age(path: str, now: datetime) -> timedelta:
    return now - storages["archive"].get_modified_time(path)
