"""How far a long command is: a bar for people, lines for logs."""

from io import StringIO
from itertools import count

import pytest

from config.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_minute_passes_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.progress.monotonic", count(step=60).__next__)


def test_a_terminal_has_a_bar_that_ends_full() -> None:
    terminal = Terminal()
    progress = Progress("usage.log", 4_000, terminal)
    progress.advance(2_000)
    assert "\rusage.log [###############...............]  50%  2,000 of 4,000" in terminal.getvalue()
    progress.advance(2_000)
    progress.finish()
    assert terminal.getvalue().endswith(f"[{'#' * 30}] 100%  4,000 of 4,000\x1b[K\n")


def test_a_log_has_lines() -> None:
    log = StringIO()
    progress = Progress("proofs", 0, log)
    progress.advance()
    progress.finish()
    assert log.getvalue() == "proofs 1\n"
