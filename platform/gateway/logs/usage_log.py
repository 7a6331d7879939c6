"""The usage log: one JSON line per request, in segments that are closed by size or age and shipped from there.

A line is written to the file before its hold is settled, so a killed process loses none; what a crash of the machine
can lose is what was not synced yet (GATEWAY_FSYNC_SECONDS). Syncing and renaming are `finish`'s, in a thread.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uuid_utils

from accounts.identifiers import random_base62
from billing.lines import UsageLine, encode

log = structlog.get_logger(__name__)

STATE = "source.json"
# Tells the other side that this gateway is up to date, though it had nothing to say.
IDLE_SECONDS = 60.0


class UsageLog:
    """One folder, one writer, one source of gapless sequence numbers.

    A segment is `open.<UUIDv7>.jsonl` while it is written and `<source>.<UUIDv7>.jsonl` once it can be shipped.
    """

    def __init__(self, folder: Path, *, largest_bytes: int, oldest_seconds: float) -> None:
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._oldest_seconds = oldest_seconds
        self._unwritten = b""
        # Closed to writing, not yet synced and named: descriptor, path.
        self._finishing: list[tuple[int, Path]] = []
        self.source, self._next_seq = self._recover()
        self._descriptor, self._path = self._create()

    def append(self, **fields: Any) -> None:
        """Write a line, with this log's source and the next number. A field that can't be encoded raises TypeError."""
        line = UsageLine(v=1, source=self.source, seq=self._next_seq, **fields)
        self._unwritten += encode(line) + b"\n"
        self._next_seq += 1
        self.write()

    @property
    def blocked(self) -> bool:
        """Whether lines wait in memory because the disk takes none: then no request should be admitted."""
        return bool(self._unwritten)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def unwritten(self) -> bytes:
        """Lines that wait in memory for the disk."""
        return self._unwritten

    def write(self) -> None:
        """Write what waits. A disk that is full is logged, and tried again by the next call."""
        try:
            while self._unwritten:
                written = os.write(self._descriptor, self._unwritten)
                self._unwritten = self._unwritten[written:]
                self._size += written
        except OSError as error:
            log.error("usage log can't be written", error=str(error), waiting_bytes=len(self._unwritten))
            return
        if self._size >= self._largest_bytes:
            self.close_segment()

    def close_if_due(self) -> None:
        """Close the open segment if it is old enough; an empty one after a minute."""
        if self.blocked:
            self.write()
            return
        age = time.monotonic() - self._opened_at
        if age >= (self._oldest_seconds if self._size else IDLE_SECONDS):
            self.close_segment()

    def close_segment(self) -> None:
        """Go on in a new file; the old one is left to `finish`. Where there can't be a new one, the old one goes on."""
        old = (self._descriptor, self._path)
        try:
            self._descriptor, self._path = self._create()
        except OSError as error:
            log.error("no new segment of the usage log", error=str(error))
            return
        self._finishing.append(old)

    def syncing(self) -> Callable[[], None]:
        """Give what forces the lines written so far to the disk, to be called in a thread."""
        # A descriptor of its own, because the segment may be closed meanwhile.
        descriptor = os.dup(self._descriptor)

        def sync() -> None:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

        return sync

    def finish(self) -> None:
        """Sync closed segments and give them their final names. Raises OSError; what is left is tried again."""
        while self._finishing:
            descriptor, path = self._finishing[0]
            os.fsync(descriptor)
            self._save_state()
            path.rename(self._named(path))
            _sync_folder(self._folder)
            os.close(descriptor)
            self._finishing.pop(0)

    def closed(self) -> list[Path]:
        """Segments to ship, the oldest first."""
        return closed_segments(self._folder)

    def shut(self) -> None:
        """Close for good."""
        self.write()
        if self._size:
            self._finishing.append((self._descriptor, self._path))
        else:
            os.close(self._descriptor)
            self._path.unlink()
        self.finish()

    def _create(self) -> tuple[int, Path]:
        path = self._folder / f"open.{uuid_utils.uuid7()}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0
        self._opened_at = time.monotonic()
        return descriptor, path

    def _named(self, path: Path) -> Path:
        return path.with_name(path.name.replace("open", self.source, 1))

    def _recover(self) -> tuple[str, int]:
        """The source and the next number, after a kill too: the lines that it left are segments to ship."""
        self._folder.mkdir(parents=True, exist_ok=True)
        state = self._folder / STATE
        if state.exists():
            kept = msgspec.json.decode(state.read_bytes(), type=dict[str, Any])
            self.source, self._next_seq = kept["source"], kept["next_seq"]
        else:
            self.source, self._next_seq = f"gw-{random_base62(12)}", 1
        left = sorted(self._folder.glob("open.*.jsonl"))
        for path in [*left, *closed_segments(self._folder)]:
            self._next_seq = max(self._next_seq, _last_seq(path) + 1)
        self._save_state()
        for path in left:
            if path.stat().st_size:
                log.warning("segment recovered after a kill", source=self.source, segment=path.name)
                path.rename(self._named(path))
            else:
                path.unlink()
        _sync_folder(self._folder)
        return self.source, self._next_seq

    def _save_state(self) -> None:
        temporary = self._folder / (STATE + ".new")
        temporary.write_bytes(msgspec.json.encode({"source": self.source, "next_seq": self._next_seq}))
        temporary.rename(self._folder / STATE)


def closed_segments(folder: Path) -> list[Path]:
    """A folder's closed segments, the oldest first."""
    return sorted(folder.glob("gw-*.jsonl"), key=lambda segment: segment.name.partition(".")[2])


def _last_seq(path: Path) -> int:
    """The number of the last whole line; a torn one was never acknowledged to anybody and has none."""
    *lines, _torn = path.read_bytes().split(b"\n")
    return int(msgspec.json.decode(lines[-1])["seq"]) if lines else 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
