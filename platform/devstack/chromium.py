"""A Chromium for the browser tests: an installed one, Playwright's, or the distribution's. Never a skipped test."""

import os
import shutil
import sys
from pathlib import Path

from devstack import debian
from devstack.problems import StackError
from devstack.terminal import Terminal

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
ADVICE = """There is no Chromium for the browser tests, and none could be installed. Do one of these and try again:
  apt-get install chromium                                   (Debian, Ubuntu; as root)
  .venv/bin/python -m playwright install --with-deps chromium  (needs the internet)
  export KEYMETER_CHROMIUM=/path/to/chromium                 (any Chromium or Chrome)"""


def get(terminal: Terminal) -> str:
    """The path of a Chromium that starts, installed now if need be. Raises StackError with what to do."""
    if given := os.environ.get("KEYMETER_CHROMIUM"):
        if starts(given):
            return given
        raise StackError(f"KEYMETER_CHROMIUM names {given}, which doesn't start.")
    if found := find():
        return found
    terminal.step("no Chromium on this machine; asking Playwright for one")
    debian.attempt([sys.executable, "-m", "playwright", "install", "chromium"])
    if found := find():
        return found
    terminal.step("asking apt-get for the distribution's Chromium")
    debian.install("chromium")
    if found := find():
        return found
    raise StackError(ADVICE)


def find() -> str | None:
    """A Chromium on PATH or in Playwright's cache."""
    installed = [path for name in NAMES if (path := shutil.which(name))]
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    cached = [str(path) for path in sorted(cache.glob("chromium-*/chrome-linux*/chrome"), reverse=True)]
    return next((path for path in installed + cached if starts(path)), None)


def starts(path: str) -> bool:
    return debian.starts([path, "--version"])
