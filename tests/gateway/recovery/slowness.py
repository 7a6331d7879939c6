"""A way to Valkey on which replies take their time, and gateway processes that have no other."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from hotstate.client import valkey
from tests.gateway.fleet import running_fleet
from tests.gateway.recovery.losing import Fleet
from tests.gateway.serving import RunningGateway


class SlowWay:
    """Passes bytes on between who connects and a server. What the server says comes later, in its order.

    What it is told comes at once: it is done, whoever waits for the answer.
    """

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._delays: Iterator[float] = itertools.repeat(0.0)
        self._from: tuple[bytes, tuple[float, ...]] | None = None
        self._watched = b""
        # How often the script from which replies took their time was asked for, and how many replies did.
        self.runs = self.late = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        """The server's, by this way."""
        named = f":{self._server.password}@127.0.0.1:{self._port}"
        return urlunsplit(self._server._replace(netloc=named))

    def take(self, *seconds: float) -> None:
        """Each reply comes so much later from now on, by turns."""
        self._from, self._delays = None, itertools.cycle(seconds)

    def take_from(self, script: str, *seconds: float) -> None:
        """The same, beginning with the next run of that script, which the server knows from now on."""
        self._watched = str(valkey().script_load(script)).encode()
        self._from = self._watched, seconds

    def __enter__(self) -> "SlowWay":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        listening.close()

    async def _connected(self, asks: asyncio.StreamReader, hears: asyncio.StreamWriter) -> None:
        assert self._server.hostname
        says, told = await asyncio.open_connection(self._server.hostname, self._server.port)
        replies: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on(asks, told))
            group.create_task(self._receive(says, replies))
            group.create_task(_pass_on_when_due(replies, hears))

    async def _pass_on(self, asks: asyncio.StreamReader, told: asyncio.StreamWriter) -> None:
        while asked := await _read(asks):
            if self._from and self._from[0] in asked:
                self.take(*self._from[1])
            self.runs += asked.count(self._watched) if self._watched else 0
            told.write(asked)
        # The other side then ends, too.
        with suppress(OSError):
            told.write_eof()

    async def _receive(self, says: asyncio.StreamReader, replies: asyncio.Queue[tuple[float, bytes]]) -> None:
        while reply := await _read(says):
            delay = next(self._delays)
            self.late += delay > 0
            replies.put_nowait((self._loop.time() + delay, reply))
        replies.put_nowait((0.0, b""))


async def _pass_on_when_due(replies: asyncio.Queue[tuple[float, bytes]], hears: asyncio.StreamWriter) -> None:
    while True:
        due, reply = await replies.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        if not reply:
            hears.close()
            return
        hears.write(reply)


async def _read(reader: asyncio.StreamReader) -> bytes:
    with suppress(OSError):
        return await reader.read(65_536)
    return b""


@contextmanager
def gateways_by(way: SlowWay, fleet: Fleet, count: int = 2) -> Iterator[list[RunningGateway]]:
    """So many processes that reach Valkey by that way and have the patience of every gateway; they log where the
    fleet does."""
    with ExitStack() as stack:
        addresses = stack.enter_context(running_fleet(count, fleet.first.spool, patient=False, VALKEY_URL=way.url))
        ports = [urlsplit(address).port for address in addresses]
        yield [replace(fleet.first, port=port) for port in ports if port]
