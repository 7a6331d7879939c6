"""Waiting for what happens a little later."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(
    is_so: Callable[[], Any], what: str | Callable[[], str], *, within: float = 60, every: float = 0.01
) -> None:
    """Ask every so many seconds until it is so. Raises AssertionError that says what was waited for, as it is then."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, f"waited {within} s for {what if isinstance(what, str) else what()}"
        time.sleep(every)
