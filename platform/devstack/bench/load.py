"""Load over HTTP/1.1: many connections with one request each in flight, as gateways have them.

`Saturating` is wrk, which leaves the core that it shares to Valkey; `fire` is paced, and tells latencies.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import hiredis
import uvloop

from devstack import debian
from devstack.bench.report import percentile
from devstack.bench.servers import OTHER_CORE, on_core
from devstack.problems import StackError


@dataclass
class Outcome:
    """How it went. Latencies are milliseconds, from when the request was due; `firsts` until the body began."""

    statuses: dict[int, int] = field(default_factory=dict)
    firsts: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    # Streams that began well and said inside that they failed.
    broken: int = 0

    def require_answers(self) -> None:
        """Raises RuntimeError where any was refused or failed: it took less, or more, than an answer does."""
        refusals = {status: count for status, count in self.statuses.items() if status != 200}
        if refusals or self.broken or not self.statuses:
            raise RuntimeError(f"not all were answered: refusals={refusals}, broken streams={self.broken}")

    def percentile(self, share: float) -> float:
        """The latency that this share of the requests had at most."""
        return round(percentile(self.latencies, share), 3)


# How an event begins that ends a stream with an error.
ERROR = b'data: {"error"'
WRK = """
local place, requests = 0, {{}}
for line in io.lines("{requests}") do requests[#requests + 1] = line:gsub("\\t", "\\r\\n") end
request = function() place = place % #requests + 1 return requests[place] end
done = function(summary) io.write(string.format("REQUESTS %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.errors.status)) end
"""


class Saturating:
    """As many requests as a server answers, over and over the same."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._wrk = _wrk()
        self._folder = tempfile.TemporaryDirectory()
        self._script = Path(self._folder.name) / "load.lua"
        lines = Path(self._folder.name) / "requests"
        # One request a line: no request has a tab.
        lines.write_bytes(b"".join(request.replace(b"\r\n", b"\t") + b"\n" for request in requests))
        self._script.write_text(WRK.format(requests=lines))

    def __enter__(self) -> "Saturating":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def rate(self, port: int, *, seconds: int, connections: int, refusals: float = 0) -> float:
        """Answers per second. Raises RuntimeError where any is missing, or more than that share are errors."""
        command = [self._wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(self._script)]
        told = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
        ).stdout
        answers, microseconds, failed, errors = (int(word) for word in told.split("REQUESTS ")[1].split()[:4])
        if errors > refusals * answers:
            raise RuntimeError(f"{errors} of {answers} answers were errors")
        if failed:
            raise RuntimeError(f"{failed} requests had no answer")
        return answers * 1_000_000 / microseconds


def _wrk() -> str:
    """Raises StackError where there is none."""
    if not shutil.which("wrk"):
        debian.install("wrk")
    if found := shutil.which("wrk"):
        return found
    raise StackError("There is no wrk, which makes the load. As root: apt-get install wrk")


def exchange(url: str, batches: Sequence[bytes], *, replies: int) -> float:
    """Send packed commands to Valkey, batch by batch; give the seconds until all replies were there."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379)) as connection:
        hello = [("AUTH", unquote(parts.password))] if parts.password else []
        for words in [*hello, ("SELECT", parts.path.strip("/") or "0")]:
            connection.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
            _read(connection, 1)
        start = time.perf_counter()
        for batch in batches:
            connection.sendall(batch)
            _read(connection, replies)
        return time.perf_counter() - start


def _read(connection: socket.socket, count: int) -> None:
    reader = hiredis.Reader()
    while count:
        reader.feed(connection.recv(1_000_000))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            count -= 1


def fire(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    rate: float,
) -> Outcome:
    """Send each request once, so many a second."""
    with on_core(OTHER_CORE):
        return uvloop.run(_fire(port, requests, connections, rate))


async def _fire(port: int, requests: Sequence[bytes], connections: int, rate: float) -> Outcome:
    loop = asyncio.get_running_loop()
    run = _Run(requests, rate, loop.create_future())
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    run.begin()
    await run.done
    return run.outcome


class _Run:
    def __init__(self, requests: Sequence[bytes], rate: float, done: "asyncio.Future[None]") -> None:
        self.requests, self.done = requests, done
        self.outcome = Outcome()
        self.idle: list[_Connection] = []
        self._rate = rate
        self._next = 0
        self._start = 0.0
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self._start = time.perf_counter()
        self._pace()

    def ended(self, connection: "_Connection", status: int, due: float) -> None:
        self.outcome.statuses[status] = self.outcome.statuses.get(status, 0) + 1
        self.outcome.latencies.append((time.perf_counter() - due) * 1000)
        self.idle.append(connection)
        if len(self.outcome.latencies) == len(self.requests) and not self.done.done():
            self.done.set_result(None)

    def _pace(self) -> None:
        while self.idle and self._next < len(self.requests) and self._due() <= time.perf_counter():
            self.idle.pop().send(self._next, self._due())
            self._next += 1
        if self._next < len(self.requests):
            self._loop.call_later(0.0005, self._pace)

    def _due(self) -> float:
        return self._start + self._next / self._rate


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._begun = False
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._run.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.done.done():
            self._run.done.set_exception(error or ConnectionError("the server closed a connection"))

    def send(self, place: int, due: float) -> None:
        self._due = due
        self._transport.write(self._run.requests[place])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or (len(self._received) == end + 4 and not self._is_whole(end)):
            return
        if not self._begun:
            self._begun = True
            self._run.outcome.firsts.append((time.perf_counter() - self._due) * 1000)
        if self._is_whole(end):
            self._run.outcome.broken += ERROR in self._received
            status, self._received, self._begun = int(self._received[9:12]), b"", False
            self._run.ended(self, status, self._due)

    def _is_whole(self, end: int) -> bool:
        """Whether the answer is all there, whose head ends there."""
        head = self._received[:end].lower()
        if b"\r\ntransfer-encoding: chunked" in head:
            return self._received.endswith(b"\r\n0\r\n\r\n")
        at = head.find(b"\r\ncontent-length: ")
        length = int(head[at + 18 :].partition(b"\r")[0]) if at >= 0 else 0
        return len(self._received) >= end + 4 + length
