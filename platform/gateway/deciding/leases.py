"""Looking after holds: those of what is running are renewed, those that nobody knows of are released."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from gateway import metrics
from gateway.deciding.settling import release
from hotstate import holds
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

# What doesn't fit lapses with its lease.
MOST_DOUBTFUL = 10_000
MOST_GRANTED = 200_000
TICK_SECONDS = 1.0


@dataclass(slots=True)
class Held:
    """What a request's hold is at this moment, in nano-dollars, so that Valkey can be told it again."""

    org: str
    key: str
    nanos: int
    until_ms: int = 0


class Doubtful(NamedTuple):
    """A request whose answer got lost: the hold may be there, the request was refused."""

    org: str
    key: str
    request_id: str


class Leases:
    def __init__(self, hotstate: HotState, *, lease_seconds: int) -> None:
        self._hotstate = hotstate
        self._lease_seconds = lease_seconds
        # What this process works on, by request id.
        self.running: dict[str, Held] = {}
        # What other gateways were allowed, until they settle it here or its lease ends. The oldest come first.
        self.granted: dict[str, Held] = {}
        self.doubtful: deque[Doubtful] = deque(maxlen=MOST_DOUBTFUL)

    @contextmanager
    def kept(self, request_id: str, held: Held) -> Iterator[None]:
        """While it lasts, the request's lease is renewed, and its hold told again after a loss."""
        self.running[request_id] = held
        metrics.holds_open.inc()
        try:
            yield
        finally:
            del self.running[request_id]
            metrics.holds_open.dec()

    def end_ms(self, now: datetime) -> int:
        """When a lease ends that begins now, Unix milliseconds."""
        return int((now.timestamp() + self._lease_seconds) * 1000)

    def grant(self, request_id: str, org: str, key: str, nanos: int, now: datetime) -> None:
        """Remember the hold of a request that another gateway works on."""
        if request_id in self.granted:
            return
        if len(self.granted) >= MOST_GRANTED:
            self._forget(next(iter(self.granted)))
        self.granted[request_id] = Held(org, key, nanos, self.end_ms(now))
        metrics.holds_granted.inc()

    def forget_granted(self, org: str, request_id: str) -> None:
        """That request has ended."""
        held = self.granted.get(request_id)
        if held and held.org == org:
            self._forget(request_id)

    def open_holds(self) -> list[holds.Hold]:
        """All open holds that this process knows of."""
        self._forget_lapsed(datetime.now(UTC))
        known = [*self.granted.items(), *self.running.items()]
        return [holds.Hold(held.org, request_id, holds.OPEN, held.nanos, held.key) for request_id, held in known]

    def _forget_lapsed(self, now: datetime) -> None:
        now_ms = int(now.timestamp() * 1000)
        while self.granted and self.granted[first := next(iter(self.granted))].until_ms <= now_ms:
            self._forget(first)

    def _forget(self, request_id: str) -> None:
        del self.granted[request_id]
        metrics.holds_granted.dec()

    async def renew(self) -> None:
        """Renew for ever, three times per lease."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            by_organization: dict[str, list[str]] = defaultdict(list)
            for request_id, held in self.running.items():
                by_organization[held.org].append(request_id)
            now = datetime.now(UTC)
            self._forget_lapsed(now)
            until_ms = self.end_ms(now)
            for org, request_ids in by_organization.items():
                try:
                    await self._hotstate.renew(org, request_ids, until_ms)
                except Unreachable as error:
                    log.warning("leases not renewed", org=org, error=str(error))

    async def release_doubtful(self) -> None:
        """Release for ever what may have been held for requests that were refused."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            while self.doubtful:
                org, key, request_id = self.doubtful[0]
                try:
                    await release(self._hotstate, org, key, UUID(request_id))
                except Unreachable:
                    break
                self.doubtful.popleft()
