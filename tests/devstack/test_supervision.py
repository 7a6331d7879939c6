"""The promises of `manage.py dev`, kept by real processes. The tests run in this order on one stack."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from stripe import StripeClient

from devstack import envfile, lock
from devstack.environment import without_stack
from devstack.places import CHECKOUT
from devstack.process import living, marked, members
from tests.devstack.stack import Stack, remove_data, running_stack, start_dev
from tests.waiting import wait_until

SERVICES = ("postgres", "valkey", "web", "gateway", "worker", "beat", "models", "mailbox", "stripe", "guardian")
HEAL_SECONDS = 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("supervision")
    yield folder
    remove_data(folder / "var")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with running_stack(folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def restarted(folder: Path) -> Iterator[Stack]:
    """Another run on the same data, once the first one has been killed."""
    with running_stack(folder) as stack:
        yield stack


def has_healed(stack: Stack, name: str, killed: int) -> bool:
    with suppress(OSError, ValueError):
        pid = stack.pids[name]
        return pid != killed and psutil.pid_exists(pid) and stack.is_ready()
    return False


def test_everything_is_private_and_on_loopback(stack: Stack) -> None:
    assert set(stack.pids) == {*SERVICES, "supervisor"}
    for name in ("dev.env", "secrets.env", "stack.json", "demo.json", "stripe.json"):
        assert stat.S_IMODE((stack.var / name).stat().st_mode) == 0o600, name
    for process in marked(stack.var):
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", process.cmdline()


def test_other_commands_find_the_running_stack(stack: Stack) -> None:
    environment = without_stack(os.environ) | {"KEYMETER_VAR": str(stack.var)}
    command = [sys.executable, "manage.py", "migrate", "--check"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_second_dev_in_the_same_folder_is_refused(stack: Stack, tmp_path: Path) -> None:
    second = start_dev(stack.var, tmp_path / "output", "--auto-port")
    assert second.wait(20) == 1
    assert f"Keymeter runs already in {stack.var}" in (tmp_path / "output").read_text()
    assert stack.is_ready()


def test_a_taken_port_is_a_clear_error(stack: Stack, tmp_path: Path) -> None:
    port = urlsplit(stack.console_url).port
    second = start_dev(tmp_path / "var", tmp_path / "output", "--web-port", str(port))
    assert second.wait(20) == 1
    output = (tmp_path / "output").read_text()
    assert f"Port {port} for the web is taken" in output
    assert "--auto-port" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_comes_back(stack: Stack, name: str) -> None:
    killed = stack.pids[name]
    family = [process.pid for process in psutil.Process(killed).children(recursive=True)]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: has_healed(stack, name, killed), f"{name}:\n{stack.output.read_text()}", within=HEAL_SECONDS)
    assert not [pid for pid in family if psutil.pid_exists(pid) and not is_zombie(pid)], "its children were left"


@pytest.mark.parametrize("name", ["web", "worker", "postgres"])
def test_a_killed_child_of_a_service_is_replaced(stack: Stack, name: str) -> None:
    children = psutil.Process(stack.pids[name]).children()
    victim = children[0]
    victim.kill()

    def replaced() -> bool:
        now = psutil.Process(stack.pids[name]).children()
        return victim not in now and bool(now) and stack.is_ready()

    wait_until(replaced, f"{name}'s child", within=HEAL_SECONDS)


def test_kill_9_of_the_supervisor_leaves_no_process(stack: Stack) -> None:
    stripe_of(stack).v1.customers.create({"email": "kept@example.com"})
    wait_until(lambda: "kept@example.com" in (stack.var / "stripe.json").read_text(), "the local Stripe's file")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pids = stack.pids
    everything = [process for process in living() if process.pid in family_of(pids)]
    os.kill(pids["supervisor"], signal.SIGKILL)
    wait_until(lambda: not [one for one in everything if is_alive(one)], "all processes to end")
    assert marked(stack.var) == []
    assert not members(pids.values())
    assert not lock.is_held(stack.var / "dev.lock")


def test_nothing_is_lost_by_it(restarted: Stack, stack: Stack) -> None:
    assert restarted.demo["admin_password"] == stack.demo["admin_password"]
    with psycopg.connect(restarted.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    [customer] = stripe_of(restarted).v1.customers.list().data
    assert customer.email == "kept@example.com"


def test_a_closed_terminal_stops_everything(restarted: Stack) -> None:
    os.kill(restarted.pids["supervisor"], signal.SIGHUP)
    wait_until(lambda: not marked(restarted.var), "all processes to end")
    wait_until(lambda: "stopped; everything is kept" in restarted.output.read_text(), "the last word")


def test_without_a_running_stack_commands_say_how_to_start_it(folder: Path) -> None:
    environment = without_stack(os.environ) | {"KEYMETER_VAR": str(folder / "var")}
    command = [sys.executable, "manage.py", "migrate"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Start it with: python3 manage.py dev")


def test_fresh_starts_over_on_other_ports_if_need_be(folder: Path) -> None:
    before = envfile.read(folder / "var" / "secrets.env")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with running_stack(folder, "--fresh", "--web-port", str(port)) as stack:
            assert urlsplit(stack.console_url).port != port
            assert envfile.read(stack.var / "secrets.env")["SECRET_KEY"] != before["SECRET_KEY"]
            with psycopg.connect(stack.database_url) as connection:
                assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
            assert stripe_of(stack).v1.customers.list().data == []


def stripe_of(stack: Stack) -> StripeClient:
    """The local Stripe, as the stack's own processes reach it."""
    settings = envfile.read(stack.var / "dev.env")
    return StripeClient(settings["STRIPE_SECRET_KEY"], base_addresses={"api": settings["STRIPE_API_BASE"]})


def family_of(pids: dict[str, int]) -> set[int]:
    """The stack's processes with their children."""
    processes = [psutil.Process(pid) for pid in pids.values()]
    return {one.pid for process in processes for one in [process, *process.children(recursive=True)]}


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and not is_zombie(process.pid)


def is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
