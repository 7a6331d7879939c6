"""The services of a development stack: what is started, when it is ready, and in which order it stops."""

import http.client
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from devstack.environment import Addresses
from devstack.logs import LogFile
from devstack.places import CHECKOUT, Places
from devstack.ports import HOST
from devstack.process import spawn
from devstack.service import Process, Service

BIN = Path(sys.executable).parent
CELERY = [str(BIN / "celery"), "-A", "config"]
GATEWAY, FRONT, WORK = 1, 2, 3
"""Stages of stopping. The gateway ships its usage log to the web while it stops, so it goes first."""


def helpers(places: Places, addresses: Addresses, environment: Mapping[str, str]) -> list[Service]:
    """The mailbox, the demo model server and the local Stripe, which need no engine."""
    models = ["-m", "devstack.modelserver", "--port", str(addresses.models)]
    mailbox = ["-m", "devstack.mailbox", "--port", str(addresses.mailbox), "--smtp-port", str(addresses.smtp)]
    services = [
        _service("models", places, environment, [sys.executable, *models], addresses.models, FRONT),
        _service("mailbox", places, environment, [sys.executable, *mailbox, str(places.mail)], addresses.mailbox, WORK),
    ]
    if addresses.stripe:
        stripe = ["-m", "devstack.stripeserver", "--port", str(addresses.stripe), "--file", str(places.stripe)]
        stripe += ["--webhook-url", addresses.webhook_url]
        services.append(
            _service("stripe", places, environment, [sys.executable, *stripe], addresses.stripe, WORK),
        )
    return services


def keymeter(places: Places, addresses: Addresses, environment: Mapping[str, str]) -> list[Service]:
    """Keymeter itself, without its clock: web, gateway and worker."""
    web = [str(BIN / "granian"), "--interface", "wsgi", "--host", HOST, "--port", str(addresses.web)]
    web += ["--workers", "1", "--blocking-threads", "4", "--respawn-failed-workers", "--respawn-interval", "0.2"]
    web += ["--workers-kill-timeout", "5", "--log-level", "warning", "config.wsgi:application"]
    gateway = [
        str(BIN / "uvicorn"),
        "gateway.asgi:application",
        "--no-proxy-headers",
        "--host",
        HOST,
        "--port",
        str(addresses.gateway),
    ]
    gateway += ["--loop", "uvloop", "--http", "gateway.http.bounded_http:BoundedProtocol"]
    gateway += ["--no-access-log", "--timeout-graceful-shutdown", "8"]
    worker = [*CELERY, "worker", "-c", "2", "--without-gossip", "--without-mingle", "-l", "INFO"]
    return [
        _service("web", places, environment, web, addresses.web, FRONT),
        _service("gateway", places, environment, gateway, addresses.gateway, GATEWAY),
        _worker(places, environment, worker),
    ]


def beat(places: Places, environment: Mapping[str, str]) -> Service:
    """Celery's clock."""
    command = [*CELERY, "beat", "--schedule", str(places.var / "beat-schedule"), "--pidfile", "", "-l", "INFO"]
    return _service("beat", places, environment, command, None, WORK)


def _worker(places: Places, environment: Mapping[str, str], command: list[str]) -> Service:
    """Celery's worker has no port: it is ready when its log says so."""
    log = LogFile(places.log / "worker.log")
    before = 0

    def start() -> Process:
        nonlocal before
        before = log.size()
        return spawn(command, log=log.path, environment=environment, cwd=CHECKOUT)

    def ready(process: Process) -> bool:
        return " ready." in log.since(before)

    return Service("worker", start, ready, WORK, leader_only=True)


def _service(
    name: str, places: Places, environment: Mapping[str, str], command: list[str], port: int | None, stage: int
) -> Service:
    def start() -> Process:
        return spawn(command, log=places.log / f"{name}.log", environment=environment, cwd=CHECKOUT)

    def ready(process: Process) -> bool:
        return port is None or is_ready(port)

    return Service(name, start, ready, stage)


def is_ready(port: int) -> bool:
    """Whether GET /readyz there answers 200."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=1)) as connection:
        try:
            connection.request("GET", "/readyz", headers={"Host": f"localhost:{port}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
