"""A request that was admitted: forwarded, answered, metered, logged and settled, exactly once, on every path."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import structlog
from django.db import Error as DatabaseError

from billing import conventions, estimating, meters
from billing.rate_card import Priced
from gateway import errors
from gateway.asking.asked import Asked, held
from gateway.asking.endpoints import RESPONSES, Endpoint
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.leases import Held
from gateway.deciding.settling import charge_of, settle
from gateway.errors import ApiError
from gateway.http.incoming import ClientGoneError, Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.spoken import spoken
from gateway.logs.usage_log import UsageLog
from gateway.offering.choosing import Candidate, kind_of
from gateway.offering.offer import OfferedModel, OfferedRoute
from gateway.proxying import sounding, whole
from gateway.proxying.progress import Progress
from gateway.proxying.response_stream import ResponseStream
from gateway.proxying.streaming import Stream
from gateway.proxying.used import used
from gateway.stored.bindings import Bindings
from gateway.stored.caretaker import Caretaker
from gateway.stored.leaving import left_work, line_so_far
from gateway.upstreams.routing import Routing
from gateway.upstreams.upstream import UpstreamError, request_id_of
from hotstate.fast import HotState
from hotstate.stored import Stored, is_id

log = structlog.get_logger(__name__)

# How long an upstream is listened to after the client has gone, for its report of what it used: an answer that is
# being read whole, a stream that has said its last word, one that hasn't.
WHOLE_SECONDS, FINISHED_SECONDS, STREAM_SECONDS = 30.0, 5.0, 1.0
DISCONNECTED = 499


@dataclass(frozen=True)
class Logged:
    """What the line says: the charge in nano-dollars, and how many tokens there were."""

    nanos: int
    tokens: int


@dataclass
class Running:
    """One admitted request. `run` answers it; whatever happens, a line is written and the hold settled."""

    request_id: UUID
    admitted_at: datetime
    identity: Identity
    endpoint: Endpoint
    # In the order in which they are tried.
    candidates: tuple[Candidate, ...]
    incoming: Incoming
    outgoing: Outgoing
    hotstate: HotState
    keyring: Keyring
    usage_log: UsageLog
    bindings: Bindings
    caretaker: Caretaker
    held: Held
    progress: Progress = field(default_factory=Progress)
    # The candidate that is tried, or has answered, and its route.
    model: OfferedModel = field(init=False)
    asked: Asked = field(init=False)
    priced: Priced = field(init=False)
    route: OfferedRoute = field(init=False)
    covered_tokens: int = field(init=False)
    _logged: Logged | None = None

    def __post_init__(self) -> None:
        self._trying(self.candidates[0].model, self.candidates[0].model.routes[0])

    def worst_case(self, output_tokens: int) -> int:
        """What it costs at most, nano-dollars, with so much output."""
        return held(self.asked.most_input(self.model), output_tokens, self.asked.counted, self.priced)

    async def run(self, routing: Routing) -> None:
        gone = asyncio.create_task(self.incoming.disconnected())
        work = asyncio.create_task(self._work(routing))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            # To the server, a client that has its whole answer is gone as well.
            if work.done() or self.progress.answered:
                await work
            else:
                await self._client_gone(work)
        except UpstreamError as failure:
            await self._failed(failure.error, failure.outcome)
        except ClientGoneError:
            self.progress.outcome, self.progress.status = "client_disconnected", DISCONNECTED
        except asyncio.CancelledError:
            # This process has to stop: not the client's doing, so not the client's cost.
            await self._failed(errors.UNAVAILABLE, "upstream_error")
        except Exception:
            log.exception("request failed", request=str(self.request_id))
            await self._failed(errors.INTERNAL, "upstream_error")
        finally:
            gone.cancel()
            work.cancel()
            await self._settle()

    async def _work(self, routing: Routing) -> None:
        try:
            await self._ask(routing)
        except UpstreamError as failure:
            self.progress.upstream_request_id = failure.request_id
            raise

    async def _ask(self, routing: Routing) -> None:
        asking = routing.ask(
            [(one.model, kind_of(one, self.endpoint)) for one in self.candidates],
            self.endpoint.path,
            self._body,
            request_id=self.request_id,
            trying=self._attempt,
        )
        async with asking as response:
            self.progress.first_byte_at = datetime.now(UTC)
            self.progress.upstream_request_id = request_id_of(response)
            if self.asked.stream:
                kind = ResponseStream if self.endpoint is RESPONSES else Stream
                await kind(self).pass_on(response)
            elif self.endpoint.answers and not self.asked.answer_is_bytes:
                await whole.pass_on(self, response)
            else:
                await sounding.pass_on(self, response)

    def _body(self, route: OfferedRoute) -> bytes | aiohttp.FormData:
        return self.asked.for_upstream(self.endpoint, self.model, route.upstream_model)

    def _attempt(self, model: OfferedModel, route: OfferedRoute) -> None:
        self._trying(model, route)
        self.progress.attempts += 1

    def _trying(self, model: OfferedModel, route: OfferedRoute) -> None:
        self.route = route
        self.model, self.asked, self.priced = next(one for one in self.candidates if one.model is model)
        self.covered_tokens = self.asked.covered_output(self.endpoint, model)

    async def _client_gone(self, work: "asyncio.Task[None]") -> None:
        """Listen on for the upstream's report, for a while; without one, what was produced until now counts."""
        self.progress.outcome, self.progress.status = "client_disconnected", DISCONNECTED
        self.outgoing.mute()
        produced = self.progress.output_bytes, self.progress.pictures
        if self.progress.first_byte_at is not None or self.asked.goes_on:
            patience = FINISHED_SECONDS if self.progress.finished else STREAM_SECONDS
            await asyncio.wait({work}, timeout=patience if self.asked.stream else WHOLE_SECONDS)
        work.cancel()
        await asyncio.wait({work})
        if self.progress.reported is None and self.asked.stream:
            self.progress.output_bytes, self.progress.pictures = produced

    def note_id(self, told: Any) -> None:
        """Take note of the id that the upstream gives an answer which it keeps."""
        if self.asked.kept and not self.progress.stored_id and is_id(told):
            self.progress.stored_id = told

    async def bind(self) -> None:
        """Bind that id to its organization and route, before the client sees it."""
        progress = self.progress
        if progress.stored_id and not progress.bound:
            made = Stored(self.model.public_id, self.route.pk)
            await self.bindings.bind(self.identity.record.org, self.endpoint.name, progress.stored_id, made)
            progress.bound = True
            if self.asked.response.background and self.asked.stream:
                await self.leave()

    async def leave(self) -> None:
        """The upstream goes on with it after it was answered. Raises UpstreamError where nobody would look after it."""
        work = left_work(self)
        try:
            await self.caretaker.take(work)
        except DatabaseError as error:
            log.warning("nobody would look after it", request=str(self.request_id), error=str(error))
            await self.caretaker.abandon(work)
            raise UpstreamError(errors.UNAVAILABLE, "upstream_error") from error
        self.progress.left = work

    async def _failed(self, error: ApiError, outcome: str) -> None:
        """Tell the client: as the whole answer, or inside the stream that has begun."""
        self.progress.outcome = outcome
        try:
            if self.outgoing.started and not self.asked.stream:
                # Bytes have no place for words: the connection is closed before their end.
                log.info("answer broken off", request=str(self.request_id), code=error.code)
            elif self.outgoing.started:
                await self.outgoing.write(b"data: " + spoken(error).body + b"\n\n", more=False)
            else:
                self.progress.status = spoken(error).status
                await self.outgoing.error(error)
        except ClientGoneError:
            log.info("nobody to tell", request=str(self.request_id), code=error.code)

    def log(self) -> Logged:
        """Write the line, once: before the client has the end of its answer, or a kill in between gives it away."""
        if self._logged is None and self.progress.left:
            self._logged = Logged(self.held.nanos, 0)
        elif self._logged is None:
            usage, estimated = used(self.asked, self.endpoint, self.model, self.priced.tariff, self.progress)
            variant = self.asked.counted.variant
            nanos = charge_of(self.progress.outcome, usage, self.priced, estimated=estimated, variant=variant)
            if nanos is None:
                # Until a person looks, what was set aside for it stays so.
                nanos = self.held.nanos
            self.usage_log.append(**self._line(usage, estimated=estimated, nanos=nanos))
            self._logged = Logged(nanos, meters.tokens(usage))
        return self._logged

    def reported(self, usage: Any) -> dict[str, int] | None:
        """What the upstream says it used, as meters."""
        return conventions.meters(usage, endpoint=self.endpoint.name, convention=self.route.convention)

    async def _settle(self) -> None:
        """The line first, then the hold: after a kill in between the hold lapses, or goes with the posting."""
        if self.progress.left:
            await self.caretaker.hasten(self.progress.left)
            return
        logged = self.log()
        await settle(
            self.hotstate,
            self.held.org,
            self.held.key,
            self.request_id,
            logged.nanos,
            taken=logged.tokens,
        )

    def _line(self, usage: dict[str, int], *, estimated: bool, nanos: int) -> dict[str, Any]:
        return {
            **line_so_far(self),
            "status": self.progress.status,
            "outcome": self.progress.outcome,
            "usage": usage,
            "ended": datetime.now(UTC),
            "estimated": estimated,
            "estimator": estimating.ESTIMATOR_VERSION if estimated else 0,
            "charge_nanos": nanos,
        }
