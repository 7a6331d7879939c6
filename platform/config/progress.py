"""How far a long command is: a bar on a terminal, a line now and then in a log."""

import sys
from time import monotonic
from typing import TextIO

WIDTH = 30
EVERY_SECONDS = {True: 1, False: 30}


class Progress:
    """Counts what is done of `total` (0: nobody knows how much there is) and shows it on standard error."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._total = total
        self._stream = stream or sys.stderr
        self._bar = self._stream.isatty()
        self._done = 0
        self._shown_at = monotonic()

    def advance(self, by: int = 1) -> None:
        self._done += by
        if monotonic() - self._shown_at >= EVERY_SECONDS[self._bar]:
            self._shown_at = monotonic()
            self._show()

    def finish(self) -> None:
        """Leave the last state on the screen."""
        if self._bar:
            self._show()
            self._stream.write("\n")

    def _show(self) -> None:
        told = f"{self._done:,}"
        if self._total:
            done = min(self._done, self._total)
            filled = WIDTH * done // self._total
            told = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * done // self._total:3}%  {told} of {self._total:,}"
        self._stream.write(f"\r{self._label} {told}\x1b[K" if self._bar else f"{self._label} {told}\n")
        self._stream.flush()
