"""The second pair of eyes: a small process that ends the stack if the supervisor itself is killed.

The supervisor tells it through a pipe which process groups there are. When the pipe ends without a farewell, the
guardian stops the groups stage by stage, then kills what is left. It keeps the stack's lock until then.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from devstack.places import CHECKOUT, Places
from devstack.process import MARK, marked, members, signal_group, spawn, wait_until
from devstack.service import Service


class Guardian:
    """The supervisor's side."""

    def __init__(self, places: Places, lock: int) -> None:
        self._places = places
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: dict[int, dict[str, Any]] = {}

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._started = time.monotonic()
        reading, writing = os.pipe()
        self._process = spawn(
            [sys.executable, "-m", "devstack.guardian", str(self._places.var)],
            log=self._places.log / "guardian.log",
            environment=os.environ | {MARK: str(self._places.var)},
            cwd=CHECKOUT,
            stdin=reading,
            keep=(self._lock,),
            end_with_parent=None,
        )
        os.close(reading)
        self._pipe = os.fdopen(writing, "w", buffering=1)
        for group in self._watched.values():
            self._tell(group)

    def watch(self, pid: int, service: Service) -> None:
        self._watched[pid] = {
            "watch": pid,
            "stage": service.stage,
            "signal": int(service.stop_signal),
            "seconds": service.stop_seconds,
            "leader_only": service.leader_only,
        }
        self._tell(self._watched[pid])

    def forget(self, pid: int) -> None:
        self._watched.pop(pid, None)
        self._tell({"forget": pid})

    def revive(self, pids: list[int]) -> bool:
        """Start it again if it was killed, and return whether that was so; at most once a second."""
        if not self._process or self._process.poll() is None or time.monotonic() < self._started + 1:
            return False
        self._watched = {pid: group for pid, group in self._watched.items() if pid in pids}
        with suppress(OSError):
            self._pipe.close()
        self.start()
        return True

    def dismiss(self) -> None:
        """Everything has ended in order."""
        if self._process:
            self._tell({"farewell": True})
            with suppress(OSError):
                self._pipe.close()
            self._process.wait()
            self._process = None

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(OSError, ValueError):
            self._pipe.write(json.dumps(message) + "\n")


def main(var: Path) -> None:
    """Listen until the pipe ends, then end what it named (unless there was a farewell)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, dict[str, Any]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if "farewell" in message:
            return
        if "watch" in message:
            groups[message["watch"]] = message
        else:
            groups.pop(message["forget"], None)
    print(f"{time.strftime('%H:%M:%S')} the supervisor is gone; ending {sorted(groups)}", flush=True)
    end(groups)
    for process in marked(var):
        if process.pid != os.getpid():
            with suppress(psutil.Error):
                process.kill()


def end(groups: dict[int, dict[str, Any]]) -> None:
    for stage in sorted({group["stage"] for group in groups.values()}):
        ending = {pid: group for pid, group in groups.items() if group["stage"] == stage}
        for pid, group in ending.items():
            if group["leader_only"]:
                with suppress(OSError):
                    os.kill(pid, group["signal"])
            else:
                signal_group(pid, group["signal"])
        wait_until(partial(are_gone, ending), max(group["seconds"] for group in ending.values()))
        for pid in ending:
            signal_group(pid, signal.SIGKILL)


def are_gone(groups: Iterable[int]) -> bool:
    return not members(groups)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
