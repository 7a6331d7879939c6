"""Several gateway processes on one Valkey and one database, and a load that keeps asking them."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from django.conf import settings

from tests.gateway.serving import free_port, wait_until_ready

UVICORN = "import uvicorn; uvicorn.main()"
# Where Valkey may take its time: the machine may be busy.
PATIENT = "from hotstate import pipelining; pipelining.TIMEOUT_SECONDS = 10.0; " + UVICORN
OPTIONS = ["--loop", "uvloop", "--http", "gateway.http.bounded_http:BoundedProtocol"]
OPTIONS += ["--no-access-log", "--no-proxy-headers", "--log-level", "error"]


@contextmanager
def running_fleet(count: int, spool: Path, *, patient: bool = True, **environment: str) -> Iterator[list[str]]:
    """Give the addresses of so many gateway processes, which are stopped as a deployment would at the end."""
    ports = [free_port() for _ in range(count)]
    with ExitStack() as stack:
        for port in ports:
            stack.callback(_stop, started(port, spool, patient=patient, **environment))
        for port in ports:
            wait_until_ready(port)
        yield [f"http://127.0.0.1:{port}" for port in ports]


def started(port: int, spool: Path, *, patient: bool = True, **changed: str) -> subprocess.Popen[bytes]:
    """A gateway process that listens there in a moment."""
    database = urlsplit(settings.DATABASE_URL)._replace(path="/" + settings.DATABASES["default"]["NAME"])
    environment = {
        **os.environ,
        "DATABASE_URL": urlunsplit(database),
        "DATABASE_POOL_SIZE": "3",
        "GATEWAY_SPOOL_DIR": str(spool),
        "INTAKE_URL": "http://127.0.0.1:9",
        **changed,
    }
    command = [
        sys.executable,
        "-c",
        PATIENT if patient else UVICORN,
        "gateway.asgi:application",
        "--port",
        str(port),
        *OPTIONS,
    ]
    return subprocess.Popen(command, env=environment)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(15)


@dataclass(frozen=True)
class Call:
    """One request to one of the gateways: sent where `address` + `path` say."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None

    async def send(self, session: aiohttp.ClientSession, address: str) -> tuple[int, Any]:
        """The status, and the answer's JSON (None where there is none)."""
        async with session.request(self.method, address + self.path, json=self.body, headers=self.headers) as answer:
            content = await answer.read()
            return answer.status, await answer.json() if content.startswith(b"{") else None


def session() -> aiohttp.ClientSession:
    patience = aiohttp.ClientTimeout(total=60)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=patience)


async def until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Seen:
    sent: float
    address: str
    status: int
    told: Any


@dataclass
class Load:
    """The same call again and again, by several clients of each gateway, noting when each answer was asked for."""

    call: Call
    addresses: list[str]
    seen: list[Seen] = field(default_factory=list)
    _stopping: bool = False

    async def run(self, clients: int) -> None:
        async with session() as web, asyncio.TaskGroup() as group:
            for address in self.addresses * clients:
                group.create_task(self._repeat(web, address))

    async def _repeat(self, web: aiohttp.ClientSession, address: str) -> None:
        while not self._stopping:
            sent = time.monotonic()
            status, told = await self.call.send(web, address)
            self.seen.append(Seen(sent, address, status, told))

    async def until_each_gateway_answered(self, count: int, *, since: float) -> list[Seen]:
        """Wait until each gateway has answered so many requests that were sent after that moment; give all those."""

        def enough() -> bool:
            answered = Counter(seen.address for seen in self.seen if seen.sent > since)
            return all(answered[address] >= count for address in self.addresses)

        await until(enough, "answers of each gateway")
        return [seen for seen in self.seen if seen.sent > since]

    def stop(self) -> None:
        self._stopping = True
