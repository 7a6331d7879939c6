"""uvicorn's HTTP protocol, with a bound on what it gathers before the application can look at it, on how long that may
take, and on how long a client may take nothing of its answer.

httptools keeps a URL, headers and trailers until they are complete, and uvicorn has no setting that ends that
(`h11_max_incomplete_event_size` is h11's): anybody could fill the gateway's memory, without a key. uvicorn waits
without end for a head that never comes whole: anybody could take all connections.
"""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import HEADERS_TOO_LARGE
from gateway.http.incoming import LARGEST_HEAD
from gateway.http.request_ids import new_request_id
from gateway.http.spoken import spoken

LINGER_SECONDS = 1.0
STALLED_SECONDS = 60.0
# From the first byte of a head to its last, and from the connection's beginning. A body's time is the application's.
HEAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """More than LARGEST_HEAD bytes that are no whole head, no body and no end are refused with 431, or cut off."""

    _in_head = False
    _refused = False
    # Bytes that came since the parser last told of something that is complete.
    _gathered = 0
    _told = 0
    _stalled: asyncio.TimerHandle | None = None
    _awaited: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._told
        super().data_received(data)
        # Where something was told of in between, only a part of these was gathered: counting begins with the next.
        self._gathered = self._gathered + len(data) if self._told == before else 0
        if self._gathered > LARGEST_HEAD:
            self._refuse()
        self._watch()

    def on_message_begin(self) -> None:
        self._told += 1
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer is no header: uvicorn would put it among those that the application may not have read yet.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._told += 1
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._told += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._told += 1
        super().on_message_complete()

    def pause_writing(self) -> None:
        # To whoever writes, the client has gone then. A time-out for each write would cost as much as the write.
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._move_on()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._move_on()
        if self._awaited:
            self._awaited.cancel()
        super().connection_lost(exc)

    @property
    def _waits(self) -> bool:
        """Whether nothing is being answered: what came is a part of a head, or of a body that nobody wants any more."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if self._awaited is None and self._waits:
            self._awaited = self.loop.call_later(HEAD_SECONDS, self._give_up)
        elif self._awaited and not self._waits:
            self._awaited.cancel()
            self._awaited = None

    def _give_up(self) -> None:
        self._awaited = None
        if self._waits:
            self.transport.close()

    def _move_on(self) -> None:
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self) -> None:
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()
            return
        said = spoken(HEADERS_TOO_LARGE)
        body = said.body
        head = (
            f"HTTP/1.1 {said.status} Request Header Fields Too Large\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {new_request_id()}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        # What still comes is dropped. Closed at once, the connection would be reset before the client has read this.
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
