"""Answering over ASGI."""

import asyncio

from gateway.errors import ApiError
from gateway.incoming import ClientGoneError, Send
from gateway.spoken import spoken

JSON = "application/json"
STALLED_SECONDS = 60.0
SMALL = 16 * 1024


class Outgoing:
    """One answer. Every one carries the request id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        # Sent with every answer, once they are known.
        self.rate_headers: dict[str, str] = {}
        self.started = False
        self._muted = False

    def mute(self) -> None:
        """The client has gone: what is written from now on goes nowhere."""
        self._muted = True

    async def start(self, status: int, content_type: str, headers: dict[str, str] | None = None) -> None:
        named = {"content-type": content_type, "x-request-id": self._request_id, **self.rate_headers, **(headers or {})}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
        self.started = True
        if self._muted:
            return
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, content: bytes, *, more: bool = True) -> None:
        """Raises ClientGoneError where the client takes nothing for too long."""
        if self._muted:
            return
        message = {"type": "http.response.body", "body": content, "more_body": more}
        if not more and len(content) < SMALL:
            # It fits into what the server buffers for the client: nobody waits.
            await self._send(message)
            return
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise ClientGoneError from None

    async def whole(
        self, status: int, content: bytes, *, content_type: str = JSON, headers: dict[str, str] | None = None
    ) -> None:
        await self.start(status, content_type, {"content-length": str(len(content)), **(headers or {})})
        await self.write(content, more=False)

    async def error(self, error: ApiError) -> None:
        said = spoken(error)
        await self.whole(said.status, said.body, headers=said.headers)
