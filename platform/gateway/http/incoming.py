"""A client's request: its key, its body, and whether the client is still there."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from itertools import chain
from typing import Any

from django.conf import settings

from gateway import errors

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LONGEST_SECRET = 200
LARGEST_HEAD = 64 * 1024


class Incoming:
    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self._values: dict[bytes, list[bytes]] = {}
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        values = self._values
        for name, value in self._headers:
            if name in values:
                values[name].append(value)
            else:
                values[name] = [value]
        self._scheme: str = scope.get("scheme", "http")
        self._peer: str | None = (scope.get("client") or (None,))[0]
        self._receive = receive
        self._raw_path: bytes = scope.get("raw_path") or b""
        self._path_size = len(self._raw_path) + len(self.query)

    def check_size(self) -> None:
        """Raises ApiError where URL and headers are larger than any client needs."""
        headers = sum(map(len, chain.from_iterable(self._headers)))
        if self._path_size + headers > LARGEST_HEAD:
            raise errors.HEADERS_TOO_LARGE

    @property
    def is_path_encoded(self) -> bool:
        """Whether the path as it was sent has percent-encoded parts."""
        return b"%" in self._raw_path

    def secret(self) -> str:
        """The API key shown in one of the dialect's headers. Raises ApiError where there is none, or two."""
        shown = set()
        accepted = settings.DIALECT.credential_headers
        for value in self.values(b"authorization") if "authorization" in accepted else ():
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                shown.add(token.strip())
        if "api-key" in accepted:
            shown.update(value.strip() for value in self.values(b"api-key") if value.strip())
        if len(shown) > 1:
            raise errors.TWO_KEYS
        if not shown:
            raise errors.MISSING_KEY
        return shown.pop()[:LONGEST_SECRET]

    def bears(self, token: str) -> bool:
        """Whether the request shows this token; an empty one is never shown."""
        shown = next(iter(self.values(b"authorization")), "").removeprefix("Bearer ")
        return bool(token) and hmac.compare_digest(shown.encode(), token.encode())

    def values(self, name: bytes) -> Sequence[str]:
        """Every value of a header; its name in lower case."""
        found = self._values.get(name)
        return [value.decode("latin-1") for value in found] if found else ()

    @property
    def content_type(self) -> str:
        return next(iter(self.values(b"content-type")), "")

    def names(self) -> Iterable[bytes]:
        """The names of all headers, in lower case."""
        return self._values

    def address(self, trusted_hops: int) -> str | None:
        """The client's address: the peer's, or the one that the outermost of so many trusted proxies saw."""
        if not trusted_hops:
            return self._peer
        seen = [part.strip() for value in self.values(b"x-forwarded-for") for part in value.split(",")]
        return seen[-trusted_hops] if len(seen) >= trusted_hops else None

    def is_plain(self, *, behind_tls_proxy: bool) -> bool:
        """Whether the client came by plain HTTP, as far as the proxy tells that is trusted to."""
        told = self.values(b"x-forwarded-proto") if behind_tls_proxy else [self._scheme]
        return told != ["https"]

    async def body(self, largest: int, *, within: float) -> bytes:
        """The whole body. Raises ApiError where it is too large or too slow."""
        declared = next(iter(self.values(b"content-length")), "0")
        if declared.isdigit() and int(declared) > largest:
            raise errors.TOO_LARGE
        try:
            async with asyncio.timeout(within):
                return await self._read(largest)
        except TimeoutError:
            raise errors.TOO_SLOW from None

    async def disconnected(self) -> None:
        """Return once the client has gone. To be awaited after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read(self, largest: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > largest:
                raise errors.TOO_LARGE
            if not message.get("more_body", False):
                return b"".join(parts)


class ClientGoneError(Exception):
    """The client went away before its request was complete: there is nobody to answer."""
