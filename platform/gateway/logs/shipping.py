"""Closed segments → the web server, which archives them; a segment is deleted after the answer."""

import asyncio
from pathlib import Path

import aiohttp
import structlog

from gateway.logs.usage_log import UsageLog, closed_segments

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.1
LONGEST_PAUSE = 10.0
TIMEOUT = aiohttp.ClientTimeout(total=30)


class Shipper:
    """Ships what `usage_log` closes, and what is left in `abandoned` folders."""

    def __init__(
        self,
        usage_log: UsageLog,
        abandoned: list[Path],
        session: aiohttp.ClientSession,
        *,
        url: str,
        credential: str,
    ) -> None:
        self._log = usage_log
        self._abandoned = abandoned
        self._session = session
        self._url = url
        self._credential = credential
        self._shipping = asyncio.Lock()
        # Whether our credential is wrong: then what is served would never be charged.
        self.refused = False

    async def run(self, *, sync_seconds: float) -> None:
        """Close, sync and ship for ever. What can't be shipped stays and is tried again."""
        not_before = last_sync = 0.0
        pause = TICK_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            try:
                self._log.close_if_due()
                await asyncio.to_thread(self._log.finish)
                if now - last_sync >= sync_seconds:
                    last_sync = now
                    await asyncio.to_thread(self._log.syncing())
                if now >= not_before:
                    pause = TICK_SECONDS if await self.ship() else min(LONGEST_PAUSE, pause * 2)
                    not_before = now + pause
            except Exception:
                # A disk that is full, say: nothing is lost, and the next turn tries again.
                log.exception("the usage log is not shipped")

    async def drain(self, *, within: float) -> bool:
        """Close the log and ship what is left, as far as time allows; the rest is recovered at the next start.

        True where nothing is left.
        """
        try:
            await asyncio.to_thread(self._log.shut)
        except OSError:
            log.exception("the last segment is recovered at the next start")
        try:
            async with asyncio.timeout(within):
                await self.ship()
        except TimeoutError:
            log.warning("segments left to ship at the next start", segments=len(self._waiting()))
        return not self._waiting()

    async def ship(self) -> bool:
        """Ship all closed segments. False where one could not be."""
        async with self._shipping:
            results = [await self._ship(segment) for segment in self._waiting()]
        return all(results)

    def _waiting(self) -> list[Path]:
        return [*self._log.closed(), *(segment for folder in self._abandoned for segment in closed_segments(folder))]

    async def _ship(self, segment: Path) -> bool:
        headers = {
            "Authorization": f"Bearer {self._credential}",
            "X-Source": segment.name.partition(".")[0],
            "Content-Type": "application/x-ndjson",
        }
        address = f"{self._url}/api/v1/usage/segments/{segment.stem}"
        try:
            content = await asyncio.to_thread(segment.read_bytes)
            async with self._session.put(address, data=content, headers=headers, timeout=TIMEOUT) as response:
                self.refused = response.status in (401, 403)
                if response.status in (200, 201):
                    await asyncio.to_thread(segment.unlink)
                    return True
                log.error("segment not taken", segment=segment.stem, status=response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("segment not shipped", segment=segment.stem, error=type(error).__name__)
        return False
