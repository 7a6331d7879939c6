"""The services' log files: bounded in size, and with their warnings and crashes shown on the terminal."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
WORTH_SHOWING = re.compile(r"\b(warning|error|critical|fatal|panic|exception)\b|^Traceback", re.IGNORECASE)
HARMLESS = re.compile(r"Memory overcommit must be enabled|running the worker with superuser privileges")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LINES_AT_ONCE = 20


class LogFile:
    """One service's log, which the service itself appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = self.size()
        self._in_traceback = False

    def news(self) -> Iterator[str]:
        """What was written since the last call and deserves attention, at most a screenful."""
        shown = 0
        for line in self._new_lines():
            if not self._deserves_attention(line):
                continue
            shown += 1
            if shown > LINES_AT_ONCE:
                yield f"… more in {self.path}"
                return
            yield line

    def trim(self) -> None:
        """Keep the file and its predecessor below MAX_BYTES each (the service goes on appending)."""
        if self.path.exists() and self.path.stat().st_size > MAX_BYTES:
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            with self.path.open("r+b") as file:
                file.truncate(0)
            self._offset = 0

    def since(self, offset: int) -> str:
        """All that was written after the file had `offset` bytes."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def last_lines(self, count: int = 15) -> str:
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - 16_384))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""

    def _new_lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read(1024 * 1024)
        except FileNotFoundError:
            return []
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete) or (len(new) if len(new) == 1024 * 1024 else 0)
        return COLOURS.sub("", complete.decode(errors="replace")).splitlines()

    def _deserves_attention(self, line: str) -> bool:
        if line.startswith("Traceback"):
            self._in_traceback = True
            return True
        if self._in_traceback:
            self._in_traceback = line.startswith(" ")
            return True
        return bool(WORTH_SHOWING.search(line)) and not HARMLESS.search(line)
