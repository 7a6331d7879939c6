"""Where this machine's gateways keep their logs: a folder each, locked by the process that writes there."""

import fcntl
import os
from pathlib import Path

from gateway.logs.usage_log import STATE

SLOTS = 64
_held: list[int] = []


def take_slot(spool: Path) -> Path:
    """The first folder that no living process holds; what a dead one left there is recovered with it."""
    for number in range(SLOTS):
        folder = spool / f"{number:02}"
        folder.mkdir(parents=True, exist_ok=True)
        if _take(folder):
            return folder
    raise RuntimeError(f"{spool} has {SLOTS} gateways at work already")


def take_abandoned(spool: Path) -> list[Path]:
    """Folders that processes left which nobody follows, because fewer gateways run than did."""
    return [folder for folder in sorted(spool.iterdir()) if (folder / STATE).exists() and _take(folder)]


def _take(folder: Path) -> bool:
    """Lock a folder until the process ends. False where another process has it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
