"""Where segments are kept as they came in: the usage can be computed again from them."""

import os
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any, NamedTuple

import msgspec
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, storages

from billing.lines import LONGEST_LINE

CHUNK_LINES = 20_000
CHUNK_BYTES = 8 * 1024 * 1024


class DurableFileSystemStorage(FileSystemStorage):
    """Files that are on the disk, not only in its cache, when `save` returns: senders delete theirs after that."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]
        for path in (self.path(saved), os.path.dirname(self.path(saved))):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return saved


def store(name: str, content: IO[bytes]) -> str:
    """Archive a segment, read by portions; return the path to read it from.

    A name that is taken is changed, never overwritten.
    """
    return storages["archive"].save(name, File(content))


DESCRIBED = ".json"
# What rebuilding keeps for a moment.
TEMPORARY = "rebuilding"


def describe(path: str, segment: dict[str, Any]) -> None:
    """Write beside an archived file what its row is to say: the file can be registered again by it."""
    storages["archive"].save(path + DESCRIBED, ContentFile(msgspec.json.encode(segment)))


def described(path: str) -> dict[str, Any] | None:
    """What was written beside an archived file; None where there is nothing."""
    storage = storages["archive"]
    if not storage.exists(path + DESCRIBED):
        return None
    with storage.open(path + DESCRIBED) as file:
        found: dict[str, Any] = msgspec.json.decode(file.read())
    found["received_at"] = datetime.fromisoformat(found["received_at"])
    return found


def remove(path: str) -> None:
    """What turned out to be a copy."""
    storages["archive"].delete(path)
    storages["archive"].delete(path + DESCRIBED)


def folders(within: str = "") -> Iterator[str]:
    """The folders that have archived files, in order."""
    try:
        below, names = storages["archive"].listdir(within)
    except FileNotFoundError:
        return
    if names and within:
        yield within
    for name in sorted(below):
        if within or name != TEMPORARY:
            yield from folders(f"{within}/{name}" if within else name)


def files(folder: str) -> Iterator[str]:
    """The paths of the archived files of a folder, in order."""
    _, names = storages["archive"].listdir(folder)
    return (f"{folder}/{name}" for name in sorted(names) if not name.endswith(DESCRIBED))


def read_lines(path: str) -> Iterator[bytes]:
    """The lines of a segment, without newlines, blank ones left out. The last one may be torn.

    Of a line that is longer than any may be, its beginning, so that it is known to be too long.
    """
    opened: IO[bytes]
    with storages["archive"].open(path) as opened:
        readline = opened.readline
        while line := readline(LONGEST_LINE + 2):
            if not line.endswith(b"\n"):
                while (rest := readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
            if stripped := line.rstrip(b"\r\n"):
                yield stripped


class Chunk(NamedTuple):
    """Lines of a segment that follow each other. `first` is the number of the first of them, from 1."""

    first: int
    lines: list[bytes]
    last: bool


def read_chunks(path: str) -> Iterator[Chunk]:
    """A segment's lines in portions that fit in memory, whatever its size."""
    first, size = 1, 0
    lines: list[bytes] = []
    for line in read_lines(path):
        if len(lines) >= CHUNK_LINES or size >= CHUNK_BYTES:
            yield Chunk(first, lines, last=False)
            first += len(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield Chunk(first, lines, last=True)
