"""Where segments are kept as they came in: the usage can be computed again from them."""

import os
from collections.abc import Iterator
from typing import IO, Any

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages


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


def store(name: str, content: bytes) -> str:
    """Archive a segment; return the path to read it from. A name that is taken is changed, never overwritten."""
    return storages["archive"].save(name, ContentFile(content))


def read_lines(path: str) -> Iterator[bytes]:
    """The lines of a segment, without newlines, blank ones left out. The last one may be torn."""
    opened: IO[bytes]
    with storages["archive"].open(path) as opened:
        for line in opened:
            if stripped := line.rstrip(b"\r\n"):
                yield stripped
