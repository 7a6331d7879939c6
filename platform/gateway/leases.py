"""Looking after holds: those of what is running are renewed, those that nobody knows of are released."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog

from gateway import metrics
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

# What doesn't fit lapses with its lease.
MOST_DOUBTFUL = 10_000
TICK_SECONDS = 1.0


class Leases:
    def __init__(self, hotstate: HotState, *, lease_seconds: int) -> None:
        self._hotstate = hotstate
        self._lease_seconds = lease_seconds
        self.running: dict[str, str] = {}
        # (organization, request id) where the answer got lost: the hold may be there, the request was refused.
        self.doubtful: deque[tuple[str, str]] = deque(maxlen=MOST_DOUBTFUL)

    @contextmanager
    def kept(self, request_id: str, org: str) -> Iterator[None]:
        """While it lasts, the request's lease is renewed."""
        self.running[request_id] = org
        metrics.holds_open.inc()
        try:
            yield
        finally:
            del self.running[request_id]
            metrics.holds_open.dec()

    async def renew(self) -> None:
        """Renew for ever, three times per lease. `running` maps a request id to its organization."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            by_organization: dict[str, list[str]] = defaultdict(list)
            for request_id, org in self.running.items():
                by_organization[org].append(request_id)
            until_ms = int((datetime.now(UTC).timestamp() + self._lease_seconds) * 1000)
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
                org, request_id = self.doubtful[0]
                try:
                    if await self._hotstate.release(org, request_id):
                        metrics.holds.labels("released").inc()
                except Unreachable:
                    break
                self.doubtful.popleft()
