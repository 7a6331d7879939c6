"""Looks after what upstreams go on making after their requests were answered, until it has ended and is charged, once.

Rows in PostgreSQL say what there is, so any gateway goes on where another was killed. Whoever says first how something
ended writes its line; should it be killed before that, another does.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from billing import conventions, estimating, meters
from gateway import errors
from gateway.asking.endpoints import RESPONSES, STORED
from gateway.database import in_thread, needing_postgres
from gateway.deciding.settling import charge_of, settle
from gateway.http.request_ids import moment_of, new_request_id
from gateway.logs.usage_log import UsageLog
from gateway.models import UnfinishedWork
from gateway.offering.offer import OfferedRoute, OfferWatch
from gateway.stored import unfinished
from gateway.stored.bindings import route_of
from gateway.stored.endings import LOST, NEVER, OUTCOMES, Ending, Sizes, ending_of
from gateway.upstreams.upstream import UpstreamError, Upstreams, decoded, read_answer
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.stored import Stored

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
# So long after its beginning an upstream may not know of it yet.
LOST_AFTER = timedelta(minutes=10)
NOT_FOUND = 404
ANYTHING = frozenset({"id", "status"})
PATHS = {row.of.name: row for row in STORED if row.method == "GET" and row.path.endswith("/{id}")}
CANCEL = next(row for row in STORED if row.path.endswith("/cancel"))


class Caretaker:
    def __init__(self, hotstate: HotState, watch: OfferWatch, upstreams: Upstreams, usage_log: UsageLog) -> None:
        self._hotstate = hotstate
        self._watch = watch
        self._upstreams = upstreams
        self._usage_log = usage_log
        self._wake = asyncio.Event()

    async def take(self, work: UnfinishedWork) -> None:
        """From now on it is looked after. Raises the database's errors."""
        await in_thread(partial(unfinished.begin, work))

    async def abandon(self, work: UnfinishedWork) -> None:
        """Nobody can look after it: the upstream had better stop."""
        try:
            if work.kind == RESPONSES.name:
                await self.ask(work, "cancel")
        except UpstreamError as failure:
            log.warning("work goes on that nobody pays", request=str(work.request_id), error=str(failure))

    async def hasten(self, work: UnfinishedWork) -> None:
        """It has probably ended: look at once."""
        try:
            await in_thread(partial(unfinished.hasten, work.request_id, datetime.now(UTC)))
        except DatabaseError as error:
            log.warning("unfinished work waits for its turn", error=str(error))
        self._wake.set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._turn(datetime.now(UTC))
            except (DatabaseError, Unreachable) as error:
                log.warning("unfinished work is not looked at", error=str(error))
            except Exception:
                log.exception("unfinished work is not looked at")

    async def _turn(self, now: datetime) -> None:
        due = await in_thread(partial(unfinished.take_due, now))
        if due:
            await in_thread(partial(unfinished.hold_again, due, now))
            await asyncio.gather(*(self._look(work, now) for work in due))

    async def _look(self, work: UnfinishedWork, now: datetime) -> None:
        if work.ending is not None:
            await self._write(work, msgspec.convert(work.ending, Ending))
            return
        is_over = now - work.started_at >= timedelta(hours=settings.UNFINISHED_HOURS)
        try:
            answer = await self.ask(work, "cancel" if is_over and work.kind == RESPONSES.name else "look")
            ending = self._ending_of(work, answer)
        except UpstreamError as failure:
            is_lost = failure.status == NOT_FOUND and now - work.started_at >= LOST_AFTER
            ending = LOST if is_lost else None
        if ending is None and is_over:
            log.warning("unfinished work is given up", request=str(work.request_id), route=work.route)
            ending = NEVER
        if ending:
            await self._end(work, ending)

    async def heard(self, organization: str, kind: str, upstream_id: str, answer: Mapping[str, Any]) -> None:
        """An upstream was heard to say this of something: where it has ended, it is charged before anybody is told."""
        if str(answer.get("status")) not in OUTCOMES:
            return
        try:
            work = await in_thread(partial(unfinished.find, organization, kind, upstream_id))
        except DatabaseError as error:
            log.warning("an ending is left to the next look", error=str(error))
            return
        if work and (ending := self._ending_of(work, answer)):
            await self._end(work, ending)

    async def before_deletion(self, organization: str, kind: str, upstream_id: str) -> None:
        """What is to be deleted is charged first: afterwards nobody could tell what it used. A response that is still
        being made is cancelled, a video is charged as if it were complete. Raises UpstreamError, Unreachable.
        """
        with needing_postgres():
            work = await in_thread(partial(unfinished.find, organization, kind, upstream_id))
        if work is None:
            return
        ending = self._ending_of(work, await self.ask(work, "look"))
        if ending is None and kind == RESPONSES.name:
            ending = self._ending_of(work, await self.ask(work, "cancel"))
        await self._end(work, ending or Ending("completed", {"requests": 1, **work.units}))

    async def ask(self, work: UnfinishedWork, what: str) -> dict[str, Any]:
        """Look at it at its route, or cancel it there. Raises UpstreamError."""
        route = self._route_of(work)
        row = CANCEL if what == "cancel" else PATHS[work.kind]
        if route is None:
            raise UpstreamError(errors.UPSTREAM_DOWN, "upstream_error")
        request_id = str(new_request_id())
        asking = self._upstreams.ask(route, row.at(work.upstream_id), b"", request_id=request_id, method=row.method)
        async with asking as response:
            answer = await read_answer(response, ANYTHING, route)
        return {name: decoded(value) for name, value in answer.items()}

    def _ending_of(self, work: UnfinishedWork, answer: Mapping[str, Any]) -> Ending | None:
        route = self._route_of(work)
        sizes = Sizes(work.input_bytes, work.most_output, work.units)
        return ending_of(work.kind, answer, sizes, route.convention if route else conventions.OPENAI)

    def _route_of(self, work: UnfinishedWork) -> OfferedRoute | None:
        """None where it is switched off, or this gateway knows no routes yet."""
        offer = self._watch.offer
        return route_of(Stored(work.model, work.route), offer) if offer else None

    async def _end(self, work: UnfinishedWork, ending: Ending) -> None:
        """Raises Unreachable where nobody can note it: then it is found out again."""
        with needing_postgres():
            if await in_thread(partial(unfinished.end, work, msgspec.to_builtins(ending), datetime.now(UTC))):
                await self._write(work, ending)

    async def _write(self, work: UnfinishedWork, ending: Ending) -> None:
        """The line, then the hold: as of any request."""
        nanos = await self._charge(work, ending)
        line = {**work.line, "id": work.request_id, "time": moment_of(work.request_id), "usage": ending.usage}
        line |= {"outcome": ending.outcome, "estimated": ending.estimated, "ended": datetime.now(UTC)}
        line |= {"estimator": estimating.ESTIMATOR_VERSION if ending.estimated else 0, "charge_nanos": nanos}
        self._usage_log.append(**line)
        await settle(
            self._hotstate,
            work.organization,
            work.key,
            work.request_id,
            work.held_nanos if nanos is None else nanos,
            taken=meters.tokens(ending.usage),
        )
        await in_thread(partial(unfinished.note_logged, work, datetime.now(UTC)))

    async def _charge(self, work: UnfinishedWork, ending: Ending) -> int | None:
        """Nano-dollars; None where this gateway can't tell any more, or it has no price: the books say."""
        offer = self._watch.offer
        model = offer.models.get(work.model) if offer else None
        try:
            organization = await self._hotstate.organization(work.organization)
        except Unreachable:
            organization = None
        if not offer or not model or not organization:
            return None
        priced = offer.priced(model, moment_of(work.request_id), organization)
        if not priced:
            return None
        variant = work.line.get("variant", "")
        return charge_of(ending.outcome, ending.usage, priced, estimated=ending.estimated, variant=variant)
