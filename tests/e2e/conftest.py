"""One running Keymeter for the end-to-end tests, started as a newcomer starts it, and a browser."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from devstack.environment import without_stack
from devstack.places import CHECKOUT
from devstack.process import MARK, marked, spawn

START_SECONDS = 90
STOP_SECONDS = 60
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one stack, so they run in one process."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass(frozen=True)
class Stack:
    """A running Keymeter. `pids` is read anew each time, because services that die come back."""

    console_url: str
    api_url: str
    mailbox_url: str
    models_url: str
    database_url: str
    valkey_url: str
    var: Path
    demo: dict[str, Any] = field(repr=False)

    @property
    def pids(self) -> dict[str, int]:
        return dict(json.loads((self.var / "stack.json").read_text())["pids"])

    def mail(self, to: str, *, seconds: float = 10) -> dict[str, Any]:
        """The newest mail to this address, waited for. Raises AssertionError if none comes."""
        address = f"{self.mailbox_url}/api/messages?to={urllib.parse.quote(to)}"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if found := json.load(answer):
                    return dict(found[0])
            time.sleep(0.05)
        raise AssertionError(f"no mail to {to} within {seconds} s")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`manage.py dev` with engines and data of its own; nothing of it may be left at the end."""
    folder = tmp_path_factory.mktemp("stack")
    var, ready, output = folder / "var", folder / "ready.json", folder / "dev.log"
    command = [sys.executable, str(CHECKOUT / "manage.py"), "dev", "--auto-port"]
    command += ["--var", str(var), "--ready-file", str(ready)]
    environment = {name: value for name, value in without_stack(os.environ).items() if name != MARK}
    process = spawn(command, log=output, environment=environment, cwd=CHECKOUT)
    try:
        info = wait_for(ready, process, output)
        known = {name: info.pop(name) for name in Stack.__dataclass_fields__ if name in info and name != "var"}
        yield Stack(var=var, demo=info, **known)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"`manage.py dev` didn't stop:\n{output.read_text()}") from None
    assert marked(var) == [], "processes were left behind"


def wait_for(ready: Path, process: "subprocess.Popen[bytes]", output: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        assert process.poll() is None, f"`manage.py dev` ended:\n{output.read_text()}"
        assert time.monotonic() < deadline, f"`manage.py dev` wasn't ready in time:\n{output.read_text()}"
        time.sleep(0.05)
    return dict(json.loads(ready.read_text()))


@pytest.fixture
def mail(stack: Stack) -> Callable[[str], dict[str, Any]]:
    """`mail(to)` is the newest mail to an address."""
    return stack.mail


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["KEYMETER_CHROMIUM"], args=list(CHROMIUM_OPTIONS)
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page in a context of its own (no cookies yet), with the console as its base address."""
    context = browser.new_context(base_url=stack.console_url, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()
