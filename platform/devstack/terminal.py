"""Lines for the person at the terminal. A closed terminal is no reason to stop badly."""

import sys
import time
from contextlib import suppress


class Terminal:
    """Prints progress with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def step(self, text: str) -> None:
        self.line(f"[{self.seconds():5.1f} s] {text}")

    def line(self, text: str = "") -> None:
        with suppress(OSError, ValueError):
            print(text, flush=True)

    def error(self, text: str) -> None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)
