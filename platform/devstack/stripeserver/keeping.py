"""The file that outlives the server: written a moment after a change and at the end, read at the start."""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from devstack.stripeserver.account import Account, Duty
from devstack.stripeserver.api.idempotency import Results
from devstack.stripeserver.version import VERSION
from devstack.stripeserver.webhooks.deliveries import Deliveries, Delivery

PAUSE_SECONDS = 0.2
SHARE = 10
"""A pause is at least so many times what the last writing took: much that is kept doesn't stop the server."""


@dataclass
class Keeper:
    """`path` None keeps nothing. What a kill in the last moment can lose is the last moment."""

    path: Path | None
    account: Account
    results: Results
    deliveries: Deliveries
    _cost: float = 0

    def load(self) -> None:
        """What was kept, unless it is of another API version or unreadable: then the server starts over."""
        if self.path is None or not self.path.exists():
            return
        with suppress(ValueError, KeyError, TypeError):
            kept = orjson.loads(self.path.read_bytes())
            if kept["version"] == VERSION:
                self.account.store.load(kept["store"])
                self.account.agenda[:] = [Duty(**duty) for duty in kept["agenda"]]
                self.results.load(kept["results"])
                self.deliveries.waiting[:] = [Delivery(**delivery) for delivery in kept["waiting"]]
                self.deliveries.count = max([one.number for one in self.deliveries.waiting], default=0)

    def save(self) -> None:
        """Write all of it, in place of what was there, for this user only."""
        if self.path is None:
            return
        body = orjson.dumps(
            {
                "version": VERSION,
                "store": self.account.store.dump(),
                "agenda": [asdict(duty) for duty in self.account.agenda],
                "results": self.results.dump(),
                "waiting": [asdict(delivery) for delivery in self.deliveries.waiting],
            }
        )
        fresh = self.path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        fresh.replace(self.path)

    async def keep(self) -> None:
        """Save after changes, until cancelled, and then once more."""
        try:
            while True:
                await self.account.bell.sleep()
                await asyncio.sleep(max(PAUSE_SECONDS, SHARE * self._cost))
                start = time.monotonic()
                self.save()
                self._cost = time.monotonic() - start
        finally:
            self.save()
