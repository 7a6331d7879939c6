"""Start, watch and end process groups. Every process we start leads a session, so its whole family can be ended."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "KEYMETER_STACK"
"""In the environment of every process of a stack: the stack's folder."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: list[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    cwd: Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    user: int | None = None,
    group: int | None = None,
    end_with_parent: signal.Signals | None = signal.SIGTERM,
    keep: tuple[int, ...] = (),
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, its output appended to `log`
    (or what it prints given to `stdout`, only errors to `log`).

    On Linux it gets `end_with_parent` when the calling thread dies, even by kill -9; call it from the main thread.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=descriptor if stdout is None else stdout,
            stderr=descriptor,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=ending_with_parent(end_with_parent),  # safe: there is one thread
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            pass_fds=keep,
        )
    finally:
        os.close(descriptor)


def ending_with_parent(number: signal.Signals | None = signal.SIGTERM) -> Callable[[], None]:
    """For `preexec_fn`: the child gets this signal when the thread that starts it dies (on Linux)."""
    parent = os.getpid()

    def ask_for_signal() -> None:
        if _libc is not None and number is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os._exit(1)

    return ask_for_signal


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group; nothing happens if it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def members(groups: Iterable[int]) -> list[psutil.Process]:
    """The living processes of the groups (zombies are dead)."""
    wanted = set(groups)
    return [process for process in living() if group_of(process) in wanted]


def marked(var: Path) -> list[psutil.Process]:
    """The living processes of the stack in `var`, whoever their parent is now (as far as we may look)."""
    found = []
    for process in living():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(var):
                found.append(process)
    return found


def living() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def group_of(process: psutil.Process) -> int | None:
    with suppress(OSError):
        return os.getpgid(process.pid)
    return None


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.02) -> bool:
    """Poll until the condition holds; False if it did not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
