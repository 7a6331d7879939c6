"""Starts the services, restarts what dies, and stops everything in order."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import FrameType

import psutil

from devstack.guardian import Guardian
from devstack.logs import LogFile
from devstack.places import CHECKOUT, Places
from devstack.problems import StackError
from devstack.process import marked, signal_group, spawn
from devstack.service import Running, Service
from devstack.terminal import Terminal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICK = 0.05


class StopRequested(Exception):
    """Ctrl-C, a closed terminal, or a kill, noticed at a point where it is safe to stop."""


class Supervisor:
    """All processes of one stack. Everything happens in the main thread."""

    def __init__(self, places: Places, terminal: Terminal, guardian: Guardian) -> None:
        self.places = places
        self.terminal = terminal
        self.guardian = guardian
        self.running: dict[str, Running] = {}
        self.on_restart: Callable[[], None] = lambda: None
        self._logs: dict[str, LogFile] = {}
        self.signals: list[int] = []
        self._restarted = False

    def listen(self) -> None:
        """From now on the stop signals end `run` (and the waits) instead of the process."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._note_signal)

    def launch(self, services: Iterable[Service]) -> list[Running]:
        """Start these side by side and return at once."""
        launched = [Running(service) for service in services]
        for one in launched:
            self._logs[one.service.name] = LogFile(self.places.log / f"{one.service.name}.log")
            self.running[one.service.name] = one
            self._start(one)
        return launched

    def wait_for(self, launched: list[Running], *, within: float = 60) -> None:
        """Return when all of these are ready. Raises StackError if one ends, or isn't ready in so many seconds."""
        deadline = time.monotonic() + within
        while [one for one in launched if not one.is_ready()]:
            self.pause()
            for one in launched:
                late = not one.was_ready and time.monotonic() > deadline
                if one.has_died() or late:
                    raise StackError(self._obituary(one, late=late))

    def complete(self, name: str, command: list[str], environment: Mapping[str, str]) -> str:
        """Run one command to its end and return what it printed. Raises StackError if it fails."""
        log = self.places.log / f"{name}.log"
        with tempfile.TemporaryFile("w+") as output:
            process = spawn(command, log=log, environment=environment, cwd=CHECKOUT, stdout=output.fileno())
            try:
                while process.poll() is None:
                    self.pause()
            finally:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            printed = output.read()
        if process.returncode:
            raise StackError(f"{name} failed:\n\n{printed[-2000:]}\n{self.last_lines(name)}")
        return printed

    def run(self) -> None:
        """Watch until a stop signal comes (StopRequested)."""
        while True:
            self.watch()
            self.pause(0.2)

    def pause(self, seconds: float = TICK) -> None:
        """Sleep a little. Raises StopRequested after a stop signal."""
        if not self.signals:
            time.sleep(seconds)
        if self.signals:
            raise StopRequested

    def watch(self) -> None:
        """Restart what died, show what the logs warn of."""
        if self.guardian.revive([one.process.pid for one in self.running.values() if one.process]):
            self.terminal.step("the guardian was killed; it runs again")
            self._restarted = True
        for name, one in self.running.items():
            if one.has_died() and one.process:
                code, pid = one.process.returncode, one.process.pid
                pause = one.schedule_restart()
                self.guardian.forget(pid)
                self.terminal.step(f"{name} {how_it_ended(code)}; it starts again in {pause:.1f} s")
            elif one.process is None and time.monotonic() >= one.next_try:
                self._restart(one)
            for line in self._logs[name].news():
                self.terminal.line(f"{name:>8} | {line}")
            self._logs[name].trim()
        if self._restarted and all(one.is_ready() for one in self.running.values()):
            self._restarted = False
            self.terminal.step("everything runs again")
            self.on_restart()

    def stop(self) -> None:
        """Stop stage by stage; what doesn't stop in its time is killed. A second signal hurries."""
        signals = len(self.signals)
        for stage in sorted({one.service.stage for one in self.running.values()}):
            ending = [one for one in self.running.values() if one.service.stage == stage and one.process]
            for one in ending:
                one.ask_to_stop()
            deadline = time.monotonic() + max((one.service.stop_seconds for one in ending), default=0)
            while any(not one.is_gone() for one in ending):
                if time.monotonic() > deadline or len(self.signals) > signals:
                    names = ", ".join(one.service.name for one in ending if not one.is_gone())
                    self.terminal.step(f"killing {names}")
                    break
                time.sleep(TICK)
            for one in ending:
                one.kill()
        self.end_strays()
        self.guardian.dismiss()

    def end_strays(self) -> None:
        """Kill processes of this stack that escaped their group, or that a crash of supervisor and guardian left."""
        for process in marked(self.places.var):
            if process.pid not in (self.guardian.pid, os.getpid()):
                with suppress(psutil.Error):
                    process.kill()

    def pids(self) -> dict[str, int]:
        """Service → process id of its leader."""
        return {name: one.pid for name, one in self.running.items() if one.pid}

    def last_lines(self, name: str) -> str:
        return LogFile(self.places.log / f"{name}.log").last_lines()

    def _start(self, one: Running) -> None:
        one.start()
        if one.process:
            self.guardian.watch(one.process.pid, one.service)

    def _restart(self, one: Running) -> None:
        try:
            self._start(one)
        except (StackError, OSError) as error:
            self.terminal.step(
                f"{one.service.name} can't start, trying again in {one.schedule_restart():.1f} s: {error}"
            )
        self._restarted = True

    def _obituary(self, one: Running, *, late: bool) -> str:
        name = one.service.name
        what = "is not ready in time" if late else how_it_ended(one.process.returncode if one.process else 0)
        return f"{name} {what}. The end of {self.places.log / name}.log:\n\n{self.last_lines(name)}"

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)


def how_it_ended(code: int) -> str:
    """In words: `stopped with status 1`, `was killed (SIGKILL)`."""
    if code >= 0:
        return f"stopped with status {code}"
    return f"was killed ({signal.Signals(-code).name})"
