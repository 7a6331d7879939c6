"""Engines for one run of something, which vanish afterwards."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from devstack import devsecrets, envfile, lock
from devstack.engines import Engines, Given
from devstack.environment import Addresses, environment, without_stack
from devstack.guardian import Guardian
from devstack.places import CHECKOUT, Places
from devstack.ports import Ports
from devstack.process import ending_with_parent
from devstack.supervisor import StopRequested, Supervisor
from devstack.terminal import Terminal

Command = Sequence[str]


def run(commands: Sequence[Command], settings: dict[str, str], *, terminal: Terminal, durable: bool) -> int:
    """Run commands one after the other on engines of their own; give the first status that isn't 0. Raises StackError.

    `durable` engines sync to the disk as in production; others are quicker.
    """
    places = temporary_places()
    status = 1
    with lock.take(places.lock) as held:
        secrets = devsecrets.load(places)
        engines = Engines(places, secrets, Ports(), Given.by_environment("TEST_"), temporary=not durable)
        supervisor = Supervisor(places, terminal, Guardian(places, held.fileno()))
        supervisor.listen()
        try:
            supervisor.guardian.start()
            supervisor.wait_for(supervisor.launch(engines.services()))
            engines.create_database()
            variables = without_stack(os.environ) | environment(places, secrets, engines, Addresses())
            variables |= {"KEYMETER_VAR": str(places.var)} | settings
            for command in commands:
                status = _in_foreground(supervisor, command, variables)
                if status:
                    break
        except StopRequested:
            status = 130
        finally:
            supervisor.stop()
            engines.remove()
    shutil.rmtree(places.var, ignore_errors=True)
    return status


def _in_foreground(supervisor: Supervisor, command: Command, variables: dict[str, str]) -> int:
    """Run so that Ctrl-C and a debugger reach it, and return its status."""
    process = subprocess.Popen(command, cwd=CHECKOUT, env=variables, preexec_fn=ending_with_parent())
    try:
        while process.poll() is None:
            supervisor.pause()
    except StopRequested:
        if signal.SIGINT not in supervisor.signals:  # Ctrl-C reached it already
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    return process.returncode


def temporary_places() -> Places:
    """A folder for this run; what killed runs left behind is removed."""
    home = CHECKOUT / "var" / "test-engines"
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    (CHECKOUT / "var").chmod(0o711)
    for left in home.iterdir():
        if not lock.is_held(left / "dev.lock"):
            remove_left_over(Places(left))
    return Places.of(str(home / str(os.getpid())))


def remove_left_over(places: Places) -> None:
    secrets = envfile.read(places.secrets)
    if secrets:
        Engines(places, secrets, Ports(), Given(), temporary=True).remove()
    shutil.rmtree(places.var, ignore_errors=True)
