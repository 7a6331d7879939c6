"""One stack per `var/`: a lock that ends with the processes that hold it, however they end."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

import psutil

from devstack.problems import StackError

CLEAN_UP_SECONDS = 60


def take(path: Path) -> IO[str]:
    """Hold the lock until the file is closed. Raises StackError if another stack runs in this folder.

    After a kill -9 of the supervisor its guardian still holds the lock while it cleans up: that is waited for.
    """
    file = path.open("a+")
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            file.seek(0)
            holder = int(file.read().strip() or 0)
            if (holder and psutil.pid_exists(holder)) or time.monotonic() > deadline:
                file.close()
                raise StackError(
                    f"Keymeter runs already in {path.parent} (process {holder}).\n"
                    "Stop that one first, or run a second one beside it with --var ANOTHER_FOLDER --auto-port."
                ) from None
            time.sleep(0.1)
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def is_held(path: Path) -> bool:
    """Whether a stack runs (or is cleaned up) there."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
