"""A request that was admitted: forwarded, answered, metered, logged and settled, exactly once, on every path."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import structlog

from billing.rating import Tariff, UnpricedError, outcome_charge, worst_case
from gateway import errors, events, metering
from gateway.asked import STREAM_STEP_TOKENS, Asked
from gateway.endpoints import Endpoint
from gateway.incoming import Incoming
from gateway.keyring import Identity
from gateway.offer import OfferedModel, OfferedRoute
from gateway.outgoing import Outgoing
from gateway.upstream import UpstreamError, Upstreams, read_json
from gateway.usage_log import UsageLog
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

GROWTH_ATTEMPTS = 5
GROWTH_PAUSE_SECONDS = 0.4


@dataclass
class Progress:
    """What is known so far of how a request went."""

    outcome: str = "completed"
    status: int = 200
    first_byte_at: datetime | None = None
    reported: dict[str, int] | None = None
    output_bytes: int = 0
    upstream_request_id: str = ""
    finished: bool = False
    answered: bool = False


@dataclass
class Running:
    """One admitted request. `run` answers it; whatever happens, a line is written and the hold settled."""

    request_id: UUID
    admitted_at: datetime
    identity: Identity
    endpoint: Endpoint
    asked: Asked
    model: OfferedModel
    route: OfferedRoute
    tariff: Tariff
    incoming: Incoming
    outgoing: Outgoing
    hotstate: HotState
    covered_tokens: int
    progress: Progress = field(default_factory=Progress)

    async def run(self, upstreams: Upstreams, usage_log: UsageLog) -> None:
        gone = asyncio.create_task(self.incoming.disconnected())
        work = asyncio.create_task(self._work(upstreams))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._client_gone(work)
            work.result()
        except UpstreamError as error:
            await self._failed(error)
        except asyncio.CancelledError:
            # The client went away (`work` was cancelled), or this process is told to stop at once.
            self.progress.outcome, self.progress.status = "client_disconnected", 499
        except Exception:
            log.exception("request failed", request=str(self.request_id))
            await self._failed(UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error"))
        finally:
            gone.cancel()
            work.cancel()
            await self._account(usage_log)

    async def _work(self, upstreams: Upstreams) -> None:
        body = self.asked.for_upstream(self.endpoint, self.route.upstream_model)
        request_id = str(self.request_id)
        async with upstreams.ask(self.route, self.endpoint.path, body, request_id=request_id) as response:
            self.progress.first_byte_at = datetime.now(UTC)
            self.progress.upstream_request_id = response.headers.get("x-request-id", "")[:200]
            if self.asked.stream:
                await self._stream(response.content.iter_any())
            else:
                await self._whole(await read_json(response))

    async def _client_gone(self, work: "asyncio.Task[None]") -> None:
        """An answer that is being read whole is read to its end, for its usage; everything else is cancelled."""
        if self.progress.answered:
            # To the server, a client that has its whole answer is gone as well.
            await asyncio.wait({work})
            return
        if self.asked.stream or self.progress.first_byte_at is None:
            work.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({work})
        self.progress.outcome, self.progress.status = "client_disconnected", 499

    async def _whole(self, answer: dict[str, Any]) -> None:
        self.progress.reported = metering.reported(answer.get("usage"))
        self.progress.output_bytes = metering.output_bytes(answer)
        if "model" in answer:
            answer["model"] = self.model.public_id
        self.progress.answered = True
        await self.outgoing.whole(200, orjson.dumps(answer))

    async def _stream(self, chunks: Any) -> None:
        reader = events.EventReader()
        try:
            async for content in chunks:
                await self._write(reader.feed(content))
            if rest := reader.rest():
                await self._write([rest + b"\n\n"])
        except (events.GarbageError, orjson.JSONDecodeError) as error:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error") from error
        if not self.progress.finished:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        self.progress.answered = True
        await self.outgoing.write(b"", more=False)

    def _pass(self, event: bytes) -> bytes:
        """What the client gets of an event, after it was metered. Raises JSONDecodeError, UpstreamError."""
        data = events.data(event)
        if data is None:
            return event
        if data == b"[DONE]":
            self.progress.finished = True
            return b"data: [DONE]\n\n"
        chunk = orjson.loads(data)
        if not isinstance(chunk, dict) or "error" in chunk:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        usage, choices = chunk.get("usage"), chunk.get("choices")
        if usage is not None:
            self.progress.reported = metering.reported(usage) or self.progress.reported
        self.progress.output_bytes += metering.output_bytes(chunk)
        if metering.tokens(self.progress.output_bytes) > self.asked.output_limit(self.model):
            raise UpstreamError(errors.HOLD_EXHAUSTED, "hold_exhausted")
        if isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices):
            self.progress.finished = True
        if not self.asked.wants_usage:
            # Clients index choices[0]: the chunk that we asked for is not theirs.
            if choices == [] and usage is not None:
                return b""
            chunk.pop("usage", None)
        if "model" in chunk:
            chunk["model"] = self.model.public_id
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    async def _write(self, incoming: Iterable[bytes]) -> None:
        """Pass events on. Where one is bad, those before it still reach the client; what isn't covered does not."""
        passed: list[bytes] = []
        before = self.progress.output_bytes
        try:
            # Not extend(): what came before a bad event has to be in the list.
            for event in incoming:
                passed.append(self._pass(event))  # noqa: PERF401
        finally:
            if content := b"".join(passed):
                await self._cover(before)
                if not self.outgoing.started:
                    await self.outgoing.start(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
                await self.outgoing.write(content)

    async def _cover(self, before: int) -> None:
        """Set more money aside before more output is passed on: a token has at least a byte."""
        limit = self.asked.output_limit(self.model)
        while self.progress.output_bytes > self.covered_tokens and self.covered_tokens < limit:
            step = min(limit - self.covered_tokens, max(STREAM_STEP_TOKENS, self.progress.output_bytes - before))
            nanos = worst_case(0, step, self.tariff)
            if not await self._grown(nanos):
                # What the client doesn't get, it doesn't pay.
                self.progress.output_bytes = before
                raise UpstreamError(errors.HOLD_EXHAUSTED, "hold_exhausted")
            self.covered_tokens += step

    async def _grown(self, nanos: int) -> bool:
        """Ask for more; a Valkey that is away for a moment is waited for."""
        for _ in range(GROWTH_ATTEMPTS):
            with suppress(Unreachable):
                now = datetime.now(UTC)
                return await self.hotstate.grow(self.identity.record, str(self.request_id), nanos, now=now)
            await asyncio.sleep(GROWTH_PAUSE_SECONDS)
        return False

    async def _failed(self, failure: UpstreamError) -> None:
        """Tell the client: as the whole answer, or inside the stream that has begun."""
        self.progress.outcome = failure.outcome
        if self.outgoing.started:
            await self.outgoing.write(b"data: " + failure.error.body() + b"\n\n", more=False)
        else:
            self.progress.status = failure.error.status
            await self.outgoing.error(failure.error)

    async def _account(self, usage_log: UsageLog) -> None:
        """The line first, then the hold: a kill in between loses nothing, the hold lapses or goes with the posting."""
        usage, estimated = self._usage()
        try:
            nanos, _ = outcome_charge(self.progress.outcome, usage, self.tariff, estimated=estimated)
        except (UnpricedError, OverflowError):
            # The worker quarantines the line; until a person looks, nothing is known to charge.
            nanos = 0
        ended, first = datetime.now(UTC), self.progress.first_byte_at
        usage_log.append(
            id=self.request_id,
            time=self.admitted_at,
            key=self.identity.record.key,
            org=self.identity.record.org,
            secret=self.identity.secret_id,
            model=self.model.public_id,
            endpoint=self.endpoint.name,
            status=self.progress.status,
            outcome=self.progress.outcome,
            usage=usage,
            stream=self.asked.stream,
            ended=ended,
            ttft_ms=int((first - self.admitted_at).total_seconds() * 1000) if first else None,
            route=str(self.route.pk),
            upstream_request_id=self.progress.upstream_request_id,
            estimated=estimated,
            charge_nanos=nanos,
        )
        try:
            more = (
                sum(units for meter, units in usage.items() if meter.endswith("_tokens"))
                - self.asked.estimated_tokens()
            )
            await self.hotstate.settle(self.identity.record, str(self.request_id), nanos, more_tokens=more)
        except Unreachable:
            log.warning("hold not settled; it goes when the line is posted", request=str(self.request_id))

    def _usage(self) -> tuple[dict[str, int], bool]:
        """(meters, whether they are our own count). Nothing where the upstream never answered."""
        if self.progress.reported is not None:
            return self.progress.reported, False
        if self.progress.first_byte_at is None:
            return {"requests": 1}, False
        return metering.estimated(self.asked.input_bytes(), self.progress.output_bytes), True
