"""Servers that are measured: processes of their own, each on a core that it is told."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from devstack.ports import Ports
from devstack.process import ending_with_parent
from hotstate.client import valkey

SERVER_CORE, OTHER_CORE = 0, 1
UVICORN = ["uvicorn", "--loop", "uvloop", "--http", "gateway.http.bounded_http:BoundedProtocol"]
UVICORN += ["--no-access-log", "--no-proxy-headers", "--timeout-keep-alive", "75"]
GRANIAN = ["granian", "--interface", "wsgi", "--workers", "1", "--log-level", "error"]
READY_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """One that answers on loopback."""

    port: int
    pid: int


@contextmanager
def serving(
    command: Sequence[str], *, settings: dict[str, str] | None = None, core: int = SERVER_CORE
) -> Iterator[Server]:
    """Run a Python module as a server on a core while it lasts."""
    port = Ports().any()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GATEWAY_SPOOL_DIR": str(Path(folder) / "spool"), **(settings or {})}
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=ending_with_parent(),
        )
        try:
            pin(server.pid, core)
            wait_until_ready(port, server)
            yield Server(port, server.pid)
        finally:
            server.terminate()
            server.wait(30)


def pin(pid: int, core: int) -> None:
    """Keep a process and its threads on one core, where there are two."""
    if core in os.sched_getaffinity(0) or len(os.sched_getaffinity(0)) == 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """This thread stays on one core, where there are two."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before & {core} or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_valkey() -> None:
    """Valkey shares the core of the load."""
    pin(int(valkey().info("server")["process_id"]), OTHER_CORE)


def wait_until_ready(port: int, server: "subprocess.Popen[bytes]", path: str = "/readyz") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server stopped with status {server.returncode}")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the server doesn't get ready")
