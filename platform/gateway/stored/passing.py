"""What is had again from an upstream, passed on as it comes: events and bytes. Nothing of it is charged."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
from django.conf import settings

from gateway import errors
from gateway.http import events
from gateway.http.incoming import ClientGoneError, Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.spoken import spoken
from gateway.offering.offer import OfferedRoute
from gateway.proxying.response_stream import typed
from gateway.upstreams.hiding import hidden_error
from gateway.upstreams.upstream import UpstreamError, type_of


async def while_there(incoming: Incoming, work: Awaitable[None]) -> None:
    """Work until it is done or the client has gone. Raises ClientGoneError, and what the work raises."""
    gone = asyncio.create_task(incoming.disconnected())
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gone, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        await working
    finally:
        gone.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working


async def pass_events(response: aiohttp.ClientResponse, outgoing: Outgoing, *, model: str, route: OfferedRoute) -> None:
    """Pass a response's typed events on."""
    await outgoing.start(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
    reader = events.EventReader()
    try:
        async for content in response.content.iter_any():
            for event in reader.feed(content):
                if told := _told(event):
                    inner = told.get("response")
                    if isinstance(inner, dict) and inner.get("error") is not None:
                        inner["error"] = hidden_error(inner["error"], route)
                    if isinstance(inner, dict) and "model" in inner and settings.DIALECT.answered_model == "asked":
                        inner["model"] = model
                    await outgoing.write(typed(told))
    except (events.GarbageError, orjson.JSONDecodeError, aiohttp.ClientError, TimeoutError):
        await outgoing.write(b"data: " + spoken(errors.UPSTREAM_BROKEN).body + b"\n\n", more=False)
        return
    await outgoing.write(b"", more=False)


def _told(event: bytes) -> dict[str, Any] | None:
    """What an event says; None for a comment. Raises JSONDecodeError, GarbageError."""
    data = events.data(event)
    if data is None or data == b"[DONE]":
        return None
    told: Any = orjson.loads(data)
    kind = told.get("type") if isinstance(told, dict) else None
    # An `error` tells of the upstream.
    if not isinstance(kind, str) or not kind.isprintable() or kind == "error" or told.get("error") is not None:
        raise events.GarbageError("no typed event")
    return dict(told)


async def pass_bytes(response: aiohttp.ClientResponse, outgoing: Outgoing) -> None:
    """Pass bytes on, never faster than the client takes them; where they break off, the connection is closed.

    Raises UpstreamError.
    """
    # A page is what a proxy answers that isn't the upstream.
    if response.content_type in ("text/html", "application/json"):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    # Of what was compressed, the length that is told is another.
    length = None if "content-encoding" in response.headers else response.content_length
    await outgoing.start(200, type_of(response), {} if length is None else {"content-length": str(length)})
    async for content in response.content.iter_any():
        await outgoing.write(content)
    await outgoing.write(b"", more=False)
