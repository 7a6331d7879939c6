"""Wakes all who sleep until something changes: the agenda's keeper, the sender of webhooks, the file's keeper."""

import asyncio
from contextlib import suppress


class Bell:
    """Who asks to sleep is among the sleepers at once, so no ring is missed between a look and a sleep."""

    def __init__(self) -> None:
        self._sleepers: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        self._sleepers.clear()

    async def sleep(self, seconds: float | None = None) -> None:
        """Until the next ring, and no longer than so many seconds."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await sleeper
