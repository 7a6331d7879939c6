"""`manage.py dev`: all of Keymeter on this machine, under one supervisor."""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

from devstack import devsecrets, envfile, lock, roster, welcome
from devstack.engines import Engines, Given
from devstack.environment import Addresses, environment
from devstack.guardian import Guardian
from devstack.places import Places
from devstack.ports import Ports
from devstack.preparation import prepare
from devstack.process import MARK
from devstack.supervisor import StopRequested, Supervisor
from devstack.terminal import Terminal


def run(arguments: list[str]) -> None:
    """Start everything, show where it is, and keep it running until Ctrl-C. Raises StackError."""
    options = parser().parse_args(arguments)
    places = Places.of(options.var)
    terminal = Terminal()
    with lock.take(places.lock) as held:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
        if options.fresh:
            start_over(places, terminal)
        supervisor = Supervisor(places, terminal, Guardian(places, held.fileno()))
        supervisor.listen()
        try:
            Stack(places, supervisor, options).start()
            supervisor.run()
        except StopRequested:
            terminal.line()
            terminal.step("stopping")
        finally:
            supervisor.stop()
            places.state.unlink(missing_ok=True)
        terminal.step("stopped; everything is kept in " + str(places.var))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage.py dev", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="remove all data and start over")
    parser.add_argument("--auto-port", action="store_true", help="take the next free port where one is taken")
    for name, port in (("web", 8000), ("gateway", 8001), ("models", 8002), ("stripe", 8003), ("mailbox", 8025)):
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="N", help=f"default: {port}")
    parser.add_argument("--var", help="folder of the data (default: var/ of the checkout)")
    parser.add_argument("--ready-file", type=Path, help="write addresses and process ids there once all is ready")
    return parser


class Stack:
    """One run of `dev`."""

    def __init__(self, places: Places, supervisor: Supervisor, options: argparse.Namespace) -> None:
        self.places = places
        self.supervisor = supervisor
        self.options = options
        self.ports = Ports()
        self.addresses = self._claim_addresses()
        self.secrets = devsecrets.load(places)
        self.engines = Engines(places, self.secrets, self.ports, Given.by_environment())

    def start(self) -> None:
        """Engines first, then tables and demo data, then the services side by side."""
        say = self.supervisor.terminal.step
        self.supervisor.end_strays()
        self.supervisor.guardian.start()
        settings = environment(self.places, self.secrets, self.engines, self.addresses)
        # Compiling all modules at each start would cost a second.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        inherited |= settings | {MARK: str(self.places.var), "PYTHONUNBUFFERED": "1"}
        say("starting PostgreSQL and Valkey")
        launched = self.supervisor.launch(roster.helpers(self.places, self.addresses, inherited))
        self.supervisor.wait_for(self.supervisor.launch(self.engines.services()))
        self.engines.create_database()
        envfile.write(self.places.environment, settings)
        demo = prepare(self.places, self.supervisor, self.addresses, inherited)
        say("starting web, gateway and workers")
        launched += self.supervisor.launch(roster.keymeter(self.places, self.addresses, inherited))
        self.supervisor.wait_for(launched)
        # Nobody waits for the clock, so it doesn't take the others' processor time while they start.
        self.supervisor.launch([roster.beat(self.places, inherited)])
        self.supervisor.on_restart = lambda: self._publish(demo)
        self._publish(demo)
        say("ready")
        welcome.show(self.supervisor.terminal, self.addresses, demo, self.places)

    def _claim_addresses(self) -> Addresses:
        def claim(name: str) -> int:
            port: int = getattr(self.options, f"{name}_port")
            return self.ports.claim(port, what=name, option=f"--{name}-port", auto=self.options.auto_port)

        return Addresses(
            web=claim("web"),
            gateway=claim("gateway"),
            models=claim("models"),
            mailbox=claim("mailbox"),
            smtp=self.ports.any(1025),
            stripe=None if os.environ.get("STRIPE_SECRET_KEY") else claim("stripe"),
        )

    def _publish(self, demo: dict[str, Any]) -> None:
        """Write addresses and process ids to `var/stack.json` and the file that `--ready-file` names."""
        engines = self.engines.addresses()
        state = {
            "console_url": self.addresses.console_url,
            "api_url": self.addresses.api_url,
            "mailbox_url": self.addresses.mailbox_url,
            "models_url": self.addresses.models_url,
            "stripe_url": self.addresses.stripe_url,
            "database_url": engines["DATABASE_URL"],
            "valkey_url": engines["VALKEY_URL"],
            "var": str(self.places.var),
            "pids": self.supervisor.pids() | {"supervisor": os.getpid(), "guardian": self.supervisor.guardian.pid},
            **demo,
        }
        for path in {self.places.state, self.options.ready_file or self.places.state}:
            envfile.write_private(path, json.dumps(state, indent=2))


def start_over(places: Places, terminal: Terminal) -> None:
    """Remove what the stack in this folder has kept: data, mails, logs, secrets."""
    terminal.step(f"removing all data in {places.var}")
    Engines(places, devsecrets.load(places), Ports(), Given.by_environment()).remove()
    for path in places.var.iterdir():
        if path == places.lock:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    places.make()
