"""Where this machine's gateways keep their logs: a folder each, locked by the process that writes there."""

import fcntl
import os
from pathlib import Path

SLOTS = 64
_held: list[int] = []


def take_slot(spool: Path) -> Path:
    """The first folder that no living process holds; what a dead one left there is recovered with it."""
    for number in range(SLOTS):
        folder = spool / f"{number:02}"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        # Held until the process ends.
        _held.append(descriptor)
        return folder
    raise RuntimeError(f"{spool} has {SLOTS} gateways at work already")
