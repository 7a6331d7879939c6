"""What is kept of decisions, so that they can be explained: every refusal, and a sample of what was allowed.

Nobody's request waits for it. Where Valkey is away, or more comes than can be written, the oldest is dropped and
counted.
"""

import asyncio
from collections import defaultdict, deque
from datetime import UTC, datetime

import structlog
from django.conf import settings

from gateway import metrics
from hotstate import decision_log
from hotstate.decision_log import DecisionRecord
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.25
MOST_WAITING = 20_000
DAY_MS = 86_400_000
# A request id ends in random bits: its last six digits say whether it is sampled.
SAMPLE_DIGITS = 6


class Journal:
    def __init__(self, hotstate: HotState) -> None:
        self._hotstate = hotstate
        self._sampled_below: int = settings.EXPLAIN_SAMPLE_PERCENT * 16**SAMPLE_DIGITS // 100
        self._waiting: deque[DecisionRecord] = deque()

    def samples(self, request_id: str) -> bool:
        """Whether this request is to be explained even where it is allowed: the same answer on every gateway."""
        return int(request_id[-SAMPLE_DIGITS:], 16) < self._sampled_below

    def add(self, record: DecisionRecord) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            metrics.unexplained.inc()
        self._waiting.append(record)

    async def run(self) -> None:
        """Write what waits, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        by_organization: dict[str, list[DecisionRecord]] = defaultdict(list)
        while self._waiting:
            record = self._waiting.popleft()
            by_organization[record.org].append(record)
        oldest_ms = decision_log.oldest_ms(datetime.now(UTC), settings.EXPLAIN_DAYS)
        for org, records in by_organization.items():
            # Of more than are kept, the last are enough.
            most = settings.EXPLAIN_MOST_PER_ORGANIZATION
            dropped, kept = records[:-most], records[-most:]
            metrics.unexplained.inc(len(dropped))
            try:
                await self._hotstate.log_decisions(
                    org, kept, most=most, oldest_ms=oldest_ms, keep_ms=settings.EXPLAIN_DAYS * DAY_MS
                )
            except Unreachable as error:
                metrics.unexplained.inc(len(kept))
                log.warning("decisions not recorded", count=len(kept), error=str(error))
