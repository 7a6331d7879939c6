"""Notices that Valkey lost its state, or may have; tells it our holds; and lets decisions go on once all have.

Until then every decision is Unreachable. Nothing is decided on a connection before the state behind it is known.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from django.db import Error as DatabaseError
from django.db import connections

from config import enqueue
from gateway.deciding.leases import Leases
from gateway.stored import unfinished
from hotstate import eras, holds, outbox
from hotstate.client import reaching_valkey
from hotstate.errors import LostError, Unreachable
from hotstate.fast import HotState, Seen
from hotstate.holds import Hold
from hotstate.tasks import recover_hot_state

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
# The recovery is a worker's; the schedule comes to it too, but later.
HINT_EVERY_SECONDS = 2.0
OUTBOX_SECONDS = 2.0


class EraWatch:
    """`beat` writes this gateway's row, so that it is waited for; `logged` reads the charges not yet shipped."""

    def __init__(
        self,
        hotstate: HotState,
        leases: Leases,
        *,
        name: str,
        beat: Callable[[datetime], None],
        logged: Callable[[], list[Hold]],
    ) -> None:
        self._hotstate = hotstate
        self._leases = leases
        self._name = name
        self._beat = beat
        self._logged = logged
        self._answered = ""
        self._hinted_at = float("-inf")

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self.turn()
            except Unreachable as error:
                self._stand_down(str(error))
            except Exception:
                self._stand_down("an error of ours")
                log.exception("the state of Valkey is not known")
            await asyncio.sleep(POLL_SECONDS)

    async def turn(self) -> None:
        """Look once, and do what is to be done next. Raises Unreachable."""
        seen = await self._hotstate.look()
        if self._hotstate.stands_on(seen):
            return
        self._stand_down("Valkey was emptied, or it is another connection")
        if seen.era is None or not seen.sound:
            await self._hint()
            return
        if seen.era.id != self._answered:
            await self._answer(seen.era.id)
        elif seen.era.serving:
            await self._stand_on(seen)
        else:
            await self._hint()

    def _stand_down(self, why: str) -> None:
        if self._hotstate.era:
            log.warning("no decisions for the moment", why=why)
        self._hotstate.stand_on(None)

    async def _stand_on(self, seen: Seen) -> None:
        try:
            # While Valkey was away a key may have been revoked: that comes before the next decision.
            async with asyncio.timeout(OUTBOX_SECONDS):
                await asyncio.to_thread(_closing, _deliver_outbox)
        except (TimeoutError, DatabaseError) as error:
            # Known keys go on without PostgreSQL.
            log.warning("outbox not delivered", error=type(error).__name__)
        self._hotstate.stand_on(seen)
        log.info("decisions go on", era=self._hotstate.era)

    async def _answer(self, era: str) -> None:
        """Tell our holds. What is running first: it writes its line before it ends, so it is seen here or there."""
        # Decisions that were answered before this one have taken note of their holds after this turn of the loop.
        await asyncio.sleep(0)
        running = self._leases.open_holds()
        until_ms = self._leases.end_ms(datetime.now(UTC))

        def tell() -> int:
            self._beat(datetime.now(UTC))
            with reaching_valkey() as valkey:
                told = holds.register(valkey, running, until_ms)
                # Of a work that has ended the line is in some log, and a charge wins over an open hold.
                told += holds.register(valkey, unfinished.open_holds(), until_ms)
                told += holds.register(valkey, self._logged(), until_ms)
                eras.answer(valkey, era, self._name)
            return told

        try:
            told = await asyncio.to_thread(_closing, tell)
        except DatabaseError as error:
            raise LostError("PostgreSQL: " + str(error)) from error
        self._answered = era
        log.warning("holds told to Valkey", era=era, holds=told)

    async def _hint(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._hinted_at >= HINT_EVERY_SECONDS:
            self._hinted_at = now
            await asyncio.to_thread(enqueue.now, recover_hot_state)


def _deliver_outbox() -> int:
    return outbox.deliver(outbox.waiting())


def _closing(work: Callable[[], int]) -> int:
    try:
        return work()
    finally:
        connections.close_all()
