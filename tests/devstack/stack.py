"""A running Keymeter for tests, started as a newcomer starts it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack import envfile
from devstack.environment import without_stack
from devstack.places import CHECKOUT
from devstack.process import MARK, marked, spawn
from tests.waiting import wait_until

START_SECONDS = 180
STOP_SECONDS = 60


@dataclass(frozen=True)
class Stack:
    """A running Keymeter. `demo` is what the demo command said: the demo admin's login and more."""

    console_url: str
    api_url: str
    mailbox_url: str
    models_url: str
    stripe_url: str
    database_url: str
    valkey_url: str
    var: Path
    output: Path
    demo: dict[str, Any] = field(repr=False)

    @property
    def pids(self) -> dict[str, int]:
        """Service → process id, read anew each time, because services that die come back."""
        return dict(json.loads((self.var / "stack.json").read_text())["pids"])

    def mail(self, to: str, *, seconds: float = 10) -> dict[str, Any]:
        """The newest mail to this address, waited for. Raises AssertionError if none comes."""
        address = f"{self.mailbox_url}/api/messages?to={urllib.parse.quote(to)}"
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            with urllib.request.urlopen(address, timeout=5) as answer:
                found[:] = json.load(answer)
            return bool(found)

        wait_until(arrived, f"a mail to {to}", within=seconds)
        return found[0]

    def is_ready(self) -> bool:
        """Whether everything with a port answers."""
        addresses = (self.console_url, self.api_url, self.models_url, self.mailbox_url, self.stripe_url)
        return all(answers(address.removesuffix("/v1") + "/readyz") for address in addresses)


def command(stack: Stack, *arguments: str) -> str:
    """Run Python with these arguments on the stack's engines, and return what it printed."""
    environment = {**os.environ, **envfile.read(stack.var / "dev.env"), "LOG_FORMAT": "json"}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'platform'}"}
    done = subprocess.run([sys.executable, *arguments], env=environment, cwd=CHECKOUT, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-3000:] + done.stdout.decode()[-3000:]
    return done.stdout.decode()


@contextmanager
def running_stack(folder: Path, *options: str) -> Iterator[Stack]:
    """`manage.py dev` with engines and data of its own in `folder`; nothing of it may be left at the end."""
    var, ready, output = folder / "var", folder / "ready.json", folder / "dev.log"
    ready.unlink(missing_ok=True)
    process = start_dev(var, output, "--auto-port", "--ready-file", str(ready), *options)
    try:
        wait_until(
            lambda: ready.exists() or process.poll() is not None,
            lambda: f"`manage.py dev` to be ready:\n{output.read_text()}",
            within=START_SECONDS,
        )
        assert ready.exists(), f"`manage.py dev` ended:\n{output.read_text()}"
        info = json.loads(ready.read_text())
        known = {name: info.pop(name) for name in Stack.__dataclass_fields__ if name in info and name != "var"}
        yield Stack(var=var, output=output, demo=info, **known)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"`manage.py dev` didn't stop:\n{output.read_text()}") from None
    assert marked(var) == [], "processes were left behind"


def start_dev(var: Path, output: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Start `manage.py dev` and return at once."""
    command = [sys.executable, str(CHECKOUT / "manage.py"), "dev", "--var", str(var), *options]
    environment = {name: value for name, value in without_stack(os.environ).items() if name != MARK}
    return spawn(command, log=output, environment=environment, cwd=CHECKOUT)


def remove_data(var: Path) -> None:
    """PostgreSQL's data may lie elsewhere, where pytest doesn't clean up."""
    location = var / "postgres.location"
    if location.exists():
        shutil.rmtree(location.read_text().strip())


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
