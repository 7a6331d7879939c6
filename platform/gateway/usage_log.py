"""The usage log: one JSON line per request, in segments that are closed by size or age and shipped from there.

A line is written to the file before its hold is settled, so a killed process loses none; what a crash of the machine
can lose is what was not synced yet (GATEWAY_FSYNC_SECONDS).
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

OPEN = "open.jsonl"
STATE = "source.json"
# Tells the other side that this gateway is up to date, though it had nothing to say.
IDLE_SECONDS = 60.0


class UsageLog:
    """One folder, one writer, one source of gapless sequence numbers."""

    def __init__(self, folder: Path, *, largest_bytes: int, oldest_seconds: float) -> None:
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._oldest_seconds = oldest_seconds
        self._unwritten = b""
        self.source, self._next_seq = self._recover()
        self._open()

    def append(self, **fields: Any) -> None:
        """Write a line, with this log's source and the next number."""
        line = UsageLine(v=1, source=self.source, seq=self._next_seq, **fields)
        self._unwritten += encode(line) + b"\n"
        self._next_seq += 1
        self.write()

    @property
    def blocked(self) -> bool:
        """Whether lines wait in memory because the disk takes none: then no request should be admitted."""
        return bool(self._unwritten)

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

    def close_if_due(self) -> None:
        """Close the open segment if it is old enough; an empty one after a minute."""
        if self.blocked:
            self.write()
            return
        age = time.monotonic() - self._opened_at
        if age >= (self._oldest_seconds if self._size else IDLE_SECONDS):
            self.close_segment()

    def close_segment(self) -> None:
        """Give the open segment its final name and open another."""
        self._finish()
        self._open()

    def closed(self) -> list[Path]:
        """Segments to ship, the oldest first."""
        return closed_segments(self._folder)

    def shut(self) -> None:
        """Close for good."""
        if self._size:
            self._finish()
        else:
            os.close(self._descriptor)
            (self._folder / OPEN).unlink()

    def _finish(self) -> None:
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._name_segment()

    def _open(self) -> None:
        self._descriptor = os.open(self._folder / OPEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size = 0
        self._opened_at = time.monotonic()

    def _name_segment(self) -> None:
        self._save_state()
        name = f"{self.source}.{uuid_utils.uuid7()}.jsonl"
        (self._folder / OPEN).rename(self._folder / name)
        _sync_folder(self._folder)

    def _recover(self) -> tuple[str, int]:
        """The source and the next number, after a kill too: the lines that it left are a segment to ship."""
        self._folder.mkdir(parents=True, exist_ok=True)
        state = self._folder / STATE
        if state.exists():
            kept = msgspec.json.decode(state.read_bytes(), type=dict[str, Any])
            self.source, self._next_seq = kept["source"], kept["next_seq"]
        else:
            self.source, self._next_seq = f"gw-{random_base62(12)}", 1
            self._save_state()
        left = self._folder / OPEN
        if left.exists():
            # A torn last line was never acknowledged to anybody and has no number.
            *lines, _torn = left.read_bytes().split(b"\n")
            if lines:
                self._next_seq = msgspec.json.decode(lines[-1])["seq"] + 1
            log.warning("segment recovered after a kill", source=self.source, lines=len(lines))
            self._name_segment()
        return self.source, self._next_seq

    def _save_state(self) -> None:
        temporary = self._folder / (STATE + ".new")
        temporary.write_bytes(msgspec.json.encode({"source": self.source, "next_seq": self._next_seq}))
        temporary.rename(self._folder / STATE)


def closed_segments(folder: Path) -> list[Path]:
    """A folder's closed segments, the oldest first. A segment is named `<source>.<UUIDv7>.jsonl`."""
    return sorted(folder.glob("gw-*.jsonl"), key=lambda segment: segment.name.partition(".")[2])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
