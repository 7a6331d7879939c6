"""A service of the stack, and its current process."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from devstack.process import members, signal_group

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Service:
    """How to start one, know that it is ready, and stop it. Lower stages stop earlier."""

    name: str
    start: Callable[[], Process]
    ready: Callable[[Process], bool] = lambda process: True
    stage: int = 2
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10
    leader_only: bool = False
    """Only the leader gets the stop signal, because it stops its children in order by itself."""


@dataclass
class Running:
    """A service's process through its restarts. Times are monotonic seconds."""

    service: Service
    process: Process | None = None
    started: float = 0
    failures: int = 0
    next_try: float = field(default=0)
    was_ready: bool = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def start(self) -> None:
        self.started = time.monotonic()
        self.was_ready = False
        self.process = self.service.start()

    def is_ready(self) -> bool:
        if not self.was_ready and self.process and self.process.poll() is None:
            self.was_ready = self.service.ready(self.process)
        return self.was_ready

    def has_died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def schedule_restart(self) -> float:
        """End what is left of the group, and wait longer each time: 0.1, 0.2 … 10 seconds. Returns the pause."""
        self.kill()
        if time.monotonic() - self.started > 30:
            self.failures = 0
        pause = float(min(0.1 * 2**self.failures, 10))
        self.failures += 1
        self.next_try = time.monotonic() + pause
        return pause

    def ask_to_stop(self) -> None:
        if self.process and self.process.poll() is None:
            if self.service.leader_only:
                with suppress(ProcessLookupError):
                    self.process.send_signal(self.service.stop_signal)
            else:
                signal_group(self.process.pid, self.service.stop_signal)

    def is_gone(self) -> bool:
        return self.process is None or (self.process.poll() is not None and not members([self.process.pid]))

    def kill(self) -> None:
        """Kill the whole group and forget it."""
        if self.process:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
