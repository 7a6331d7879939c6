"""A stream of events, passed on as it comes: metered, cleaned of what the client didn't ask for, and covered."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import orjson
from django.conf import settings

from billing import estimating
from gateway import errors
from gateway.asking import drawing
from gateway.asking.asked import STREAM_STEP_TOKENS
from gateway.http import events
from gateway.upstreams.upstream import UpstreamError, require_stream
from hotstate.errors import Unreachable

if TYPE_CHECKING:
    from gateway.proxying.running import Running

# No token has more text than that: an upstream that goes on is one that ignores its limit.
MOST_BYTES_PER_TOKEN = 64
GROWTH_PAUSE_SECONDS = 0.4
# Beyond the time that a recovery of Valkey may take.
GROWTH_PATIENCE_SECONDS = 5.0
DRAIN_SECONDS = 0.5
DONE = b"data: [DONE]\n\n"


class Stream:
    # What says that a stream ends where the upstream didn't.
    end = DONE

    def __init__(self, running: "Running") -> None:
        self._running = running
        self._progress = running.progress
        self._limit = running.asked.output_limit(running.model)
        self._done = False
        # What an answer calls the model; empty where it is as the upstream says.
        self._model = running.asked.model if settings.DIALECT.answered_model == "asked" else ""

    async def pass_on(self, response: aiohttp.ClientResponse) -> None:
        """Pass the upstream's events to the client. Raises UpstreamError, ClientGoneError."""
        require_stream(response)
        try:
            await self._events(response)
        except (aiohttp.ClientError, TimeoutError):
            # An answer that is complete, usage included, stays complete whatever the connection does afterwards.
            if not self._progress.finished or self._progress.reported is None:
                raise
        except (events.GarbageError, orjson.JSONDecodeError) as error:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error") from error
        if not self._progress.finished:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        self._progress.answered = True
        self._running.log()
        await self._running.outgoing.write(b"" if self._done else self.end, more=False)
        with suppress(aiohttp.ClientError, TimeoutError):
            # Read to its end, a connection can be used again.
            async with asyncio.timeout(DRAIN_SECONDS):
                await response.content.read()

    async def _events(self, response: aiohttp.ClientResponse) -> None:
        running = self._running
        draws = drawing.draws(running.model, running.priced.tariff)
        reader = events.EventReader(events.LONGEST_PICTURE if draws else events.LONGEST_EVENT)
        async for content in response.content.iter_any():
            await self._write(reader.feed(content))
            if self._done:
                return
        if rest := reader.rest():
            await self._write([rest + b"\n\n"])

    async def _write(self, incoming: Iterable[bytes]) -> None:
        """Pass events on. Where one is bad, those before it still reach the client; what isn't covered does not."""
        passed: list[bytes] = []
        before = self._progress.output_bytes, self._progress.pictures
        try:
            # Not extend(): what came before a bad event has to be in the list.
            for event in incoming:
                passed.append(self._pass(event))  # noqa: PERF401
        finally:
            if content := b"".join(passed):
                await self._cover(before)
                await self._running.bind()
                if self._done:
                    self._running.log()
                outgoing = self._running.outgoing
                if not outgoing.started:
                    await outgoing.start(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
                await outgoing.write(content)

    def _pass(self, event: bytes) -> bytes:
        """What the client gets of an event, after it was metered. Raises JSONDecodeError, UpstreamError."""
        data = events.data(event)
        if data is None or self._done:
            return event if event.startswith(b":") else b""
        if data == b"[DONE]":
            self._progress.finished = self._done = True
            return DONE
        chunk = orjson.loads(data)
        if not isinstance(chunk, dict) or chunk.get("error") is not None or chunk.get("object") == "error":
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        usage, choices = chunk.get("usage"), chunk.get("choices")
        self._running.note_id(chunk.get("id"))
        if usage is not None:
            self._progress.reported = self._running.reported(usage) or self._progress.reported
        self._progress.output_bytes += estimating.output_bytes(chunk)
        if drawing.may_have_pictures(data):
            self._progress.pictures += drawing.pictures(choices)
        # `echo` repeats the prompt before the answer.
        if self._progress.output_bytes > MOST_BYTES_PER_TOKEN * self._limit + self._running.asked.size:
            raise UpstreamError(errors.HOLD_EXHAUSTED, "hold_exhausted")
        if isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices):
            self._progress.finished = True
        if not self._running.asked.wants_usage:
            # Clients index choices[0]: the chunk that we asked for is not theirs.
            if choices == [] and usage is not None:
                return b""
            chunk.pop("usage", None)
        if self._model and "model" in chunk:
            chunk["model"] = self._model
        return b"data: " + events.dumped(chunk) + b"\n\n"

    async def _cover(self, before: tuple[int, int]) -> None:
        """Set more money aside before more output is passed on: a token has at least a byte. How many a picture is
        nobody knows: then all of it."""
        running, progress = self._running, self._progress
        has_pictures = progress.pictures > before[1]
        while (progress.output_bytes > running.covered_tokens or has_pictures) and running.covered_tokens < self._limit:
            wanted = self._limit if has_pictures else max(STREAM_STEP_TOKENS, progress.output_bytes - before[0])
            step = min(self._limit - running.covered_tokens, wanted)
            needed = running.worst_case(running.covered_tokens + step)
            # What is held may cover it already, where another model was dearer.
            if needed > running.held.nanos and not await self._grown(needed):
                # What the client doesn't get, it doesn't pay.
                progress.output_bytes, progress.pictures = before
                raise UpstreamError(errors.HOLD_EXHAUSTED, "hold_exhausted")
            running.covered_tokens += step

    async def _grown(self, nanos: int) -> bool:
        """Ask that so much be held in all; a Valkey that is away for a moment, or recovers, is waited for."""
        running = self._running
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.RECOVERY_SECONDS + GROWTH_PATIENCE_SECONDS
        while loop.time() < deadline:
            with suppress(Unreachable):
                now = datetime.now(UTC)
                grown = await running.hotstate.grow(running.identity.record, str(running.request_id), nanos, now=now)
                if grown:
                    running.held.nanos = nanos
                if grown is not None:
                    return grown
                if await running.keyring.reload(running.identity):
                    continue
            await asyncio.sleep(GROWTH_PAUSE_SECONDS)
        return False
