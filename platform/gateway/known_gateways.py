"""Other gateways, by the credential that they show in a header of its own."""

import asyncio
import hashlib
import time
from collections import OrderedDict

from django.db import Error as DatabaseError

from gateway import errors
from gateway.credentials import SHORTEST, find_credential
from gateway.database import in_thread
from gateway.incoming import Incoming
from gateway.models import GatewayCredential
from hotstate.errors import Unreachable

HEADER = b"x-gateway-credential"
LONGEST = 200
CACHE_SIZE = 10_000
# So long a revoked credential may still be believed.
FOUND_FOR_SECONDS = 30.0
UNKNOWN_FOR_SECONDS = 5.0


class KnownGateways:
    def __init__(self) -> None:
        # By the secret's SHA-256: until when it is believed, and what was found.
        self._cache: OrderedDict[str, tuple[float, GatewayCredential | None]] = OrderedDict()
        self._loading: dict[str, asyncio.Future[GatewayCredential | None]] = {}

    async def require(self, incoming: Incoming) -> GatewayCredential:
        """The credential that the request shows. Raises ApiError where there is none, and Unreachable."""
        shown = {value.strip() for value in incoming.values(HEADER)}
        found = await self.find(shown.pop()) if len(shown) == 1 else None
        if found is None:
            raise errors.NO_GATEWAY
        return found

    async def find(self, secret: str) -> GatewayCredential | None:
        """Whose credential that is. Raises Unreachable where nobody can tell."""
        if not SHORTEST <= len(secret) <= LONGEST:
            return None
        name = hashlib.sha256(secret.encode()).hexdigest()
        known = self._cache.get(name)
        if known and known[0] > time.monotonic():
            return known[1]
        # One look-up at a time for each secret.
        if name not in self._loading:
            self._loading[name] = asyncio.ensure_future(self._load(name, secret))
        return await asyncio.shield(self._loading[name])

    async def _load(self, name: str, secret: str) -> GatewayCredential | None:
        try:
            found = await in_thread(lambda: find_credential(secret))
        except DatabaseError as error:
            known = self._cache.get(name)
            if known is None or known[1] is None:
                raise Unreachable("PostgreSQL: " + str(error)) from error
            # Who was known stays so while PostgreSQL is away: customers' requests go on without it, too.
            found = known[1]
        finally:
            self._loading.pop(name, None)
        lasts = FOUND_FOR_SECONDS if found else UNKNOWN_FOR_SECONDS
        self._cache[name] = (time.monotonic() + lasts, found)
        self._cache.move_to_end(name)
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return found
