"""Load over HTTP/1.1: many connections with one request each in flight, as gateways have them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import uvloop


@dataclass
class Outcome:
    """How it went. Latencies are milliseconds; of paced load from when the request was due."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return sum(self.statuses.values()) / self.seconds


Answered = Callable[[int, bytes], None]


def fire(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    answered: Answered | None = None,
    rate: float | None = None,
) -> Outcome:
    """Send each request once, as fast as the connections allow, or so many a second.

    `answered` gets each request's place and the whole answer's head.
    """
    return uvloop.run(_fire(port, requests, connections, answered, rate))


async def _fire(
    port: int, requests: Sequence[bytes], connections: int, answered: Answered | None, rate: float | None
) -> Outcome:
    loop = asyncio.get_running_loop()
    run = _Run(requests, answered, rate, loop.create_future())
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port)
    run.begin()
    await run.done
    run.outcome.seconds = time.perf_counter() - run.start
    return run.outcome


class _Run:
    def __init__(
        self, requests: Sequence[bytes], answered: Answered | None, rate: float | None, done: "asyncio.Future[None]"
    ) -> None:
        self.requests, self.answered, self.rate, self.done = requests, answered, rate, done
        self.outcome = Outcome()
        self.idle: list[_Connection] = []
        self.next = 0
        self.left = len(requests)
        self.start = 0.0
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self.start = time.perf_counter()
        if self.rate:
            self._pace()
        else:
            for connection in self.idle:
                self.give(connection)

    def give(self, connection: "_Connection") -> None:
        """The next request, where one is due; else the connection waits."""
        if self.next < len(self.requests) and (not self.rate or self._due() <= time.perf_counter()):
            connection.send(self.next, self._due() if self.rate else time.perf_counter())
            self.next += 1
        elif self.rate:
            self.idle.append(connection)

    def _due(self) -> float:
        return self.start + self.next / (self.rate or 1)

    def _pace(self) -> None:
        while self.idle and self.next < len(self.requests) and self._due() <= time.perf_counter():
            self.give(self.idle.pop())
        if self.next < len(self.requests):
            self._loop.call_later(0.0005, self._pace)

    def ended(self, connection: "_Connection", place: int, status: int, head: bytes, due: float) -> None:
        self.outcome.statuses[status] = self.outcome.statuses.get(status, 0) + 1
        self.outcome.latencies.append((time.perf_counter() - due) * 1000)
        if self.answered:
            self.answered(place, head)
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)
        self.give(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._place, self._due = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._run.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.done.done():
            self._run.done.set_exception(error or ConnectionError("the server closed a connection"))

    def send(self, place: int, due: float) -> None:
        self._place, self._due = place, due
        self._transport.write(self._run.requests[place])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._received.find(b"ontent-length: ", 0, end)
        if at < 0:
            at = self._received.lower().find(b"ontent-length: ", 0, end)
        length = int(self._received[at + 15 : self._received.find(b"\r", at)]) if at >= 0 else 0
        if len(self._received) < end + 4 + length:
            return
        head, self._received = self._received[:end], b""
        self._run.ended(self, self._place, int(head[9:12]), head, self._due)
