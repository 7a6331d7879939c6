"""A connection to Valkey that many requests share: commands out, replies in their order, parsed by hiredis.

It has what the gateway's hot path needs and no more; docs/decisions/0004-valkey-client.md says why it exists. Everybody
else uses redis-py (`client.py`).
"""

import asyncio
import socket
import ssl
from collections import deque
from typing import cast
from urllib.parse import unquote, urlsplit

import hiredis

from hotstate.errors import Unreachable

TIMEOUT_SECONDS = 1.0
# Fail at once, rather than let requests queue up behind attempts to connect.
PAUSE_AFTER_FAILURE_SECONDS = 0.1
MOST_WAITING = 20_000
# So many go out before the turn ends: Valkey works on them while the next ones are made.
AT_ONCE = 8

Word = str | int | float | bytes
Reply = bytes | int | None | list["Reply"] | hiredis.ReplyError


class Pipelining:
    """Connects at the first call, and again after a loss. Every failure is Unreachable."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._not_before = 0.0

    async def call(self, *words: Word) -> Reply:
        """Send a command and give its reply; an error that the server replies is returned as hiredis.ReplyError."""
        connection = await self.connection()
        return await connection.send(packed(words))

    async def connection(self) -> "Connection":
        """The present connection, or a new one."""
        connection = self._connection
        return await self._connect() if connection is None or connection.lost else connection

    async def close(self) -> None:
        if self._connection:
            self._connection.drop("closed")

    async def _connect(self) -> "Connection":
        """One attempt at a time, which all who need it wait for."""
        if self._connecting is None:
            if asyncio.get_running_loop().time() < self._not_before:
                raise Unreachable("Valkey could not be reached a moment ago")
            self._connecting = asyncio.create_task(self._open())
        attempt = self._connecting
        try:
            self._connection = await asyncio.shield(attempt)
        except (OSError, TimeoutError, Unreachable) as error:
            self._not_before = asyncio.get_running_loop().time() + PAUSE_AFTER_FAILURE_SECONDS
            raise Unreachable(str(error) or type(error).__name__) from error
        finally:
            if attempt.done():
                self._connecting = None
        return self._connection

    async def _open(self) -> "Connection":
        parts = urlsplit(self._url)
        encrypted = ssl.create_default_context() if parts.scheme in ("rediss", "valkeys") else None
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, parts.hostname or "127.0.0.1", parts.port or 6379, ssl=encrypted
            )
            hello: list[list[str]] = []
            if parts.password:
                hello.append(["AUTH", *([unquote(parts.username)] if parts.username else []), unquote(parts.password)])
            hello.append(["SELECT", parts.path.strip("/") or "0"])
            for words in hello:
                reply = await connection.send(packed(tuple(words)))
                if isinstance(reply, hiredis.ReplyError):
                    connection.drop(str(reply))
                    raise Unreachable(str(reply))
        return connection


class Connection(asyncio.Protocol):
    """One connection; what is sent on it after its loss is Unreachable, never sent on another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        # The transport would put every write off to the end of the turn. None where it encrypts.
        self._socket: socket.socket | None = None
        self._full = False
        self._outgoing: list[bytes] = []
        # Each with when it was sent: the first is the oldest, because replies come in order.
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self.lost = False
        # Which run of the server this leads to, once somebody asked.
        self.run = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        if transport.get_extra_info("sslcontext") is None:
            self._socket = transport.get_extra_info("socket").dup()
            self._socket.setblocking(False)
        self._watch = self._loop.call_later(TIMEOUT_SECONDS / 4, self._look_for_silence)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                _, future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.drop(f"not a reply: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self.drop(str(error) if error else "the connection was closed")

    def send(self, command: bytes) -> "asyncio.Future[Reply]":
        """Queue a packed command. What is queued in one turn of the loop goes out in a few writes."""
        if self.lost or len(self._waiting) >= MOST_WAITING:
            raise Unreachable("the connection was lost" if self.lost else "too many requests wait for Valkey")
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append((self._loop.time(), future))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(command)
        if len(self._outgoing) >= AT_ONCE and not self._full:
            self._flush()
        return future

    def drop(self, why: str) -> None:
        """End the connection; whoever waits gets Unreachable."""
        self.lost = True
        if self._watch:
            self._watch.cancel()
        if self._transport:
            self._transport.abort()
        if self._socket:
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Unreachable(why))

    def _flush(self) -> None:
        if self.lost or not self._transport:
            self._outgoing.clear()
        elif self._outgoing and not self._full:
            commands = b"".join(self._outgoing)
            self._outgoing.clear()
            if self._socket is None:
                self._transport.write(commands)
            else:
                self._write(self._socket, commands)

    def _write(self, out: socket.socket, commands: bytes) -> None:
        try:
            sent = out.send(commands)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.drop(str(error))
            return
        if sent < len(commands):
            self._outgoing.append(commands[sent:])
            self._full = True
            self._loop.add_writer(out, self._go_on)

    def _go_on(self) -> None:
        if self._socket:
            self._loop.remove_writer(self._socket)
            self._full = False
            self._flush()

    def _look_for_silence(self) -> None:
        if self._waiting and self._loop.time() - self._waiting[0][0] > TIMEOUT_SECONDS:
            self.drop("Valkey didn't answer in time")
        elif not self.lost:
            self._watch = self._loop.call_later(TIMEOUT_SECONDS / 4, self._look_for_silence)


def packed(words: tuple[Word, ...]) -> bytes:
    """A command as it goes over the wire."""
    # Its type stub says "a tuple of one".
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return command
