"""A Chromium for the browser tests: an installed one, Playwright's, or the distribution's. Never a skipped test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    attempt([sys.executable, "-m", "playwright", "install", "chromium"])
    if found := find():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        terminal.step("installing the distribution's Chromium with apt-get")
        attempt(["apt-get", "update", "-qq"])
        attempt(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])
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
    """Whether the program runs here; a library may be missing."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def attempt(command: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, capture_output=True, timeout=600, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return
