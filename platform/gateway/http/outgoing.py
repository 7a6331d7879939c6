"""Answering over ASGI."""

from gateway.errors import ApiError
from gateway.http.incoming import Send
from gateway.http.spoken import spoken

JSON = "application/json"


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
        """Wait until the client takes it. One that takes nothing for too long is gone: the server says so."""
        if not self._muted:
            await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def whole(
        self, status: int, content: bytes, *, content_type: str = JSON, headers: dict[str, str] | None = None
    ) -> None:
        await self.start(status, content_type, {"content-length": str(len(content)), **(headers or {})})
        await self.write(content, more=False)

    async def error(self, error: ApiError) -> None:
        said = spoken(error)
        await self.whole(said.status, said.body, headers=said.headers)
