"""Well-formed secrets that nobody has. Whoever makes such up in floods must not occupy PostgreSQL, nor keep others out.

They are remembered apart from the keys that are known; looked up a few at a time; and an address that has shown many
waits. None of that touches a key that this process or Valkey knows.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from gateway import errors

T = TypeVar("T")

UNKNOWN_FOR_SECONDS = 5.0
MOST_REMEMBERED = 20_000
MOST_ADDRESSES = 20_000
# Of the threads that talk to PostgreSQL (`database.py`): the others are for who is known.
LOOK_UPS_AT_ONCE = 2
WAIT_SECONDS = 0.5
# An address may show so many unknown secrets at once, and one more each second.
BURST = 30
INTERVAL_NS = 10**9


class TooManyStrangers(Exception):
    """The address has shown too many unknown secrets."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__()
        self.wait_ms = wait_ms


class Strangers:
    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        # GCRA, by address: when all the unknown secrets that it showed will have been forgiven.
        self._forgiven_ns: OrderedDict[str, int] = OrderedDict()
        self._looking_up = asyncio.Semaphore(LOOK_UPS_AT_ONCE)

    def known(self, digest: str) -> bool:
        """Whether nobody had that secret a moment ago."""
        return self._until.get(digest, 0.0) > time.monotonic()

    def check(self, address: str | None) -> None:
        """Raises TooManyStrangers where this address has to wait."""
        over_ns = self._forgiven_ns.get(_network(address), 0) - time.monotonic_ns() - (BURST - 1) * INTERVAL_NS
        if over_ns > 0:
            raise TooManyStrangers(-(-over_ns // 10**6))

    def note(self, digest: str, address: str | None) -> None:
        """Remember that nobody has that secret, and who showed it."""
        _put(self._until, digest, time.monotonic() + UNKNOWN_FOR_SECONDS, most=MOST_REMEMBERED)
        network = _network(address)
        forgiven_ns = max(self._forgiven_ns.get(network, 0), time.monotonic_ns()) + INTERVAL_NS
        _put(self._forgiven_ns, network, forgiven_ns, most=MOST_ADDRESSES)

    @asynccontextmanager
    async def look_up(self, address: str | None) -> AsyncIterator[None]:
        """One of a few places. Raises TooManyStrangers, and ApiError (503) where none is free in time."""
        self.check(address)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._looking_up.acquire()
        except TimeoutError:
            raise errors.UNAVAILABLE from None
        try:
            # Others of this address may have used up what was left meanwhile.
            self.check(address)
            yield
        finally:
            self._looking_up.release()


def _network(address: str | None) -> str:
    """Who counts as one: an IPv4 address, or the /64 that a site of IPv6 has; whatever else is told, as it is."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())


def _put(store: OrderedDict[str, T], name: str, value: T, *, most: int) -> None:
    store[name] = value
    store.move_to_end(name)
    if len(store) > most:
        store.popitem(last=False)
