"""After a loss of Valkey's state: what was archived is posted, the gateways tell their holds, then decisions go on.

Every restart counts as a loss: whether one happened can't be told. The rooms above register what they contribute; this
one knows no other.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

import redis
import structlog
from django.conf import settings
from django.db import connection

from hotstate import eras, holds, loading, publish
from hotstate.client import reaching_valkey
from hotstate.eras import Era
from hotstate.errors import LostError

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
# Every record of a room, read now.
sources: list[Callable[[], Iterable[publish.Record]]] = []
# Post what is archived, until the given moment; give the settled holds of what is left, in portions.
posting: list[Callable[[Clock, datetime], Iterable[list[holds.Hold]]]] = []
# The gateways that have to tell their holds.
gateways: list[Callable[[], set[str]]] = []

BATCH = 500
PAUSE_SECONDS = 0.05
LOCK = 7_310_251_946_011


def recover_if_lost(clock: Clock) -> bool:
    """Recover where Valkey has lost its state, or may have. Two at once do it once. Raises Unreachable."""
    with reaching_valkey() as valkey:
        if _is_well(valkey):
            return False
        with _alone() as alone:
            if not alone or _is_well(valkey):
                return False
            run, era = eras.run_of(valkey), eras.read(valkey)
            if era is None or era.run != run:
                eras.begin(valkey, era, run, clock())
                era = eras.read(valkey)
                if era is None:
                    raise LostError("Valkey was emptied again")
                log.warning("Valkey may have lost its state: recovering", era=era.id)
            Recovery(valkey, era, clock).run()
    return True


def _is_well(valkey: redis.Redis) -> bool:
    era = eras.read(valkey)
    return era is not None and era.serving and era.published and era.run == eras.run_of(valkey)


class Recovery:
    """Each step can be done again: whoever finds an era that isn't finished goes on with it."""

    def __init__(self, valkey: redis.Redis, era: Era, clock: Clock) -> None:
        self._valkey = valkey
        self._era = era
        self._clock = clock
        self._serving = era.serving
        begun = datetime.fromtimestamp(era.begun_ms / 1000, clock().tzinfo)
        self._deadline = begun + timedelta(seconds=settings.RECOVERY_SECONDS)

    def run(self) -> None:
        """Decisions go on as soon as they may; a record that isn't published by then is loaded by the first of them."""
        if not self._serving:
            self._post()
        count = 0
        for batch in self._batches():
            count += loading.load(self._valkey, batch, self._era.id)
            if not self._serving and self._may_serve():
                self._serve()
        while not self._serving:
            if self._may_serve():
                self._serve()
            else:
                time.sleep(PAUSE_SECONDS)
        eras.note(self._valkey, self._era.id, "published", "1")
        log.info("hot state published", era=self._era.id, records=count)

    def _batches(self) -> Iterator[list[publish.Record]]:
        for source in sources:
            records = iter(source())
            while batch := list(islice(records, BATCH)):
                yield batch

    def _may_serve(self) -> bool:
        awaited = {name for found in gateways for name in found()}
        return eras.answered(self._valkey, awaited) or self._clock() >= self._deadline

    def _serve(self) -> None:
        # What gateways shipped before they told their holds is archived by now.
        self._post()
        holds.forget_posted(self._valkey)
        eras.note(self._valkey, self._era.id, "state", eras.SERVING)
        self._serving = True
        log.warning("Valkey is recovered", era=self._era.id)

    def _post(self) -> None:
        for post in posting:
            for left in post(self._clock, self._deadline):
                holds.register(self._valkey, left, until_ms=0)


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else is at it: a lock that ends with the transaction, and so with the process."""
    own = connection.copy()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            (alone,) = cursor.fetchone() or (False,)
        yield bool(alone)
    finally:
        try:
            own.rollback()
        finally:
            own.close()
