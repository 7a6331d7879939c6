"""Renewing the leases of the holds of what is running."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime

import structlog

from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)


class Leases:
    def __init__(self, hotstate: HotState, *, lease_seconds: int) -> None:
        self._hotstate = hotstate
        self._lease_seconds = lease_seconds
        self.running: dict[str, str] = {}

    async def run(self) -> None:
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
