"""Valkey as tests lose it, gateways in front of it, and a worker that looks after it."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils import timezone

from billing.posting import post_segment
from catalog import changes
from devstack.process import MARK
from devstack.valkey import Valkey
from hotstate import recovery
from hotstate.client import valkey
from hotstate.errors import Unreachable
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment
from tests.gateway.conftest import CREDENTIAL
from tests.gateway.serving import RunningGateway
from tests.waiting import wait_until

UNAVAILABLE = (503, "server_error", "service_unavailable")
# The hold of a request with max_tokens=1000 is a little more than that.
HOLD = 15 * DOLLAR // 1000


@dataclass
class OwnValkey:
    """A server that a test may kill. It keeps everything (`durable`), or what SAVE wrote."""

    server: Valkey
    folder: Path
    process: Any = None

    def start(self) -> None:
        self.process = self.server.start(self.folder / "valkey.log", {**os.environ, MARK: os.environ["KEYMETER_VAR"]})
        wait_until(lambda: self.server.is_ready(self.process), "Valkey to be ready")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@dataclass
class Fleet:
    """Gateways in front of one Valkey; `worker` stands for the workers, whose broker isn't the matter here."""

    gateways: list[RunningGateway]
    valkey: OwnValkey
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(40))

    @property
    def first(self) -> RunningGateway:
        return self.gateways[0]

    def lines(self) -> dict[str, dict[str, Any]]:
        """What was written into the usage logs of all, by request."""
        paths = sorted(self.first.spool.glob("*/*.jsonl"))
        lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
        assert len({line["id"] for line in lines}) == len(lines)
        return {line["id"]: line for line in lines}

    def charged(self) -> int:
        return sum(line["charge_nanos"] for line in self.lines().values())

    def rest(self) -> None:
        """Wait until nothing runs."""
        wait_until(lambda: not self.first.open_holds(), "no hold to be left")

    def post(self) -> None:
        """What the web server and the workers do with the logs."""
        for folder in sorted(self.first.spool.iterdir()):
            content = b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))
            source = json.loads(content.splitlines()[0])["source"] if content else ""
            # The same lines twice, as where an answer got lost.
            for segment in (make_segment(content, source=source), make_segment(content, source=source)):
                post_segment(segment.pk, now=datetime.now(UTC))

    def serve_again(self) -> None:
        """Wait until every gateway decides."""
        for gateway in self.gateways:
            wait_until(lambda gateway=gateway: gateway.request("GET", "/v1/models").status != 503, "decisions to go on")


def populate(gateways: list[RunningGateway], model_server: str) -> None:
    """A priced model that all of them sell, and a key of an organization that has $1."""
    upstream = make_model(upstream_url=model_server).routes.get().upstream
    upstream.credential = CREDENTIAL
    upstream.save()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    key, secret = make_key(organization)
    for gateway in gateways:
        gateway.organization, gateway.key, gateway.secret = organization, key, secret
    changes.announce(timezone.now())
    for gateway in gateways:
        gateway.wait_for_catalogue()


async def no_hint(self: object) -> None:
    """The worker of these tests looks all the time."""


class Worker:
    """Recovers what is to be recovered, for as long as it runs."""

    def __enter__(self) -> "Worker":
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                recovery.recover_if_lost(timezone.now)
            except Unreachable:
                continue
        connections.close_all()


def lose(how: str, own: OwnValkey) -> None:
    if how == "emptied":
        valkey().flushdb()
    else:
        own.kill()
        own.start()
