"""uvicorn's HTTP protocol, with a bound on what it gathers before the application can look at it.

httptools keeps a URL, headers and trailers until they are complete, and uvicorn has no setting that ends that
(`h11_max_incomplete_event_size` is h11's): anybody could fill the gateway's memory, without a key.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import HEADERS_TOO_LARGE
from gateway.incoming import LARGEST_HEAD
from gateway.request_ids import new_request_id
from gateway.spoken import spoken

LINGER_SECONDS = 1.0


class BoundedProtocol(HttpToolsProtocol):
    """More than LARGEST_HEAD bytes that are no whole head, no body and no end are refused with 431, or cut off."""

    _in_head = False
    _refused = False
    # Bytes that came since the parser last told of something that is complete.
    _gathered = 0
    _told = 0

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._told
        super().data_received(data)
        # Where something was told of in between, only a part of these was gathered: counting begins with the next.
        self._gathered = self._gathered + len(data) if self._told == before else 0
        if self._gathered > LARGEST_HEAD:
            self._refuse()

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
