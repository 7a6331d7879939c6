"""Other gateways, by the credential that they show in a header of its own.

What was found is believed until a credential changes: a version in Valkey tells, looked at twice a second or more.
Without Valkey nothing is decided, so nothing is lost by not knowing.
"""

import asyncio
import hashlib
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from django.db import Error as DatabaseError

from gateway import errors
from gateway.database import in_thread
from gateway.deciding.strangers import Strangers, TooManyStrangers
from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from gateway.faces.credentials import SHORTEST, find_credential, note_seen
from gateway.http.incoming import Incoming
from gateway.models import GatewayCredential
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

HEADER = b"x-gateway-credential"
LONGEST = 200
POLL_SECONDS = 0.4
STRANGERS = "unknown gateway credentials from your address"
# Then it is looked up again, whatever the version says: also so that one sees when it was last shown.
FOUND_FOR_SECONDS = 30.0


class _Known(NamedTuple):
    version: bytes
    until: float
    credential: GatewayCredential


class KnownGateways:
    def __init__(self, hotstate: HotState) -> None:
        self._hotstate = hotstate
        self._version = b""
        # By the secret's SHA-256. Only what there is: floods of others are the strangers' matter.
        self._cache: dict[str, _Known] = {}
        self._strangers = Strangers()
        self._loading: dict[str, asyncio.Future[GatewayCredential | None]] = {}

    async def run(self) -> None:
        """Watch for changes, for ever."""
        while True:
            try:
                self._version = await self._hotstate.gateways_version()
            except Unreachable:
                pass
            except Exception:
                log.exception("changes of gateways' credentials can't be seen")
            await asyncio.sleep(POLL_SECONDS)

    async def require(self, incoming: Incoming) -> GatewayCredential:
        """The credential that the request shows. Raises ApiError where there is none, and Unreachable."""
        found = await self.shown_in(incoming)
        if found is None:
            raise errors.NO_GATEWAY
        return found

    async def shown_in(self, incoming: Incoming) -> GatewayCredential | None:
        """The credential that the request shows, if it is one. Raises Unreachable."""
        first, *others = incoming.values(HEADER) or ("",)
        agreed = all(other.strip() == first.strip() for other in others)
        return await self.find(first.strip(), incoming.address(0)) if agreed else None

    async def find(self, secret: str, peer: str | None) -> GatewayCredential | None:
        """Whose credential that is, shown by that address.

        Raises Unreachable where nobody can tell, and ApiError where the address shows too many that nobody has.
        """
        if not SHORTEST <= len(secret) <= LONGEST:
            return None
        name = hashlib.sha256(secret.encode()).hexdigest()
        known = self._cache.get(name)
        if known and known.version == self._version and known.until > time.monotonic():
            return known.credential
        if self._strangers.known(_unknown(name, self._version)):
            return None
        # One look-up at a time for each secret.
        if name not in self._loading:
            self._loading[name] = asyncio.ensure_future(self._load(name, secret, peer))
        return await asyncio.shield(self._loading[name])

    async def _load(self, name: str, secret: str, peer: str | None) -> GatewayCredential | None:
        # The version is taken first: a change in between is seen once more, never missed.
        version, known = self._version, self._cache.get(name)
        try:
            async with nullcontext() if known else self._strangers.look_up(peer):
                found = await in_thread(lambda: _look_up(secret))
                if found is None:
                    self._strangers.note(_unknown(name, version), peer)
        except TooManyStrangers as error:
            raise refusal(Verdict.RATE_LIMITED, STRANGERS, wait_ms=error.wait_ms) from None
        except DatabaseError as error:
            if known is None or known.version != version:
                raise Unreachable("PostgreSQL: " + str(error)) from error
            # Who was known, and was not touched since, stays so while PostgreSQL is away: customers' requests go on.
            found = known.credential
        finally:
            self._loading.pop(name, None)
        if found:
            self._cache[name] = _Known(version, time.monotonic() + FOUND_FOR_SECONDS, found)
        else:
            self._cache.pop(name, None)
        return found


def _unknown(name: str, version: bytes) -> str:
    """What is remembered of a credential that nobody had, until credentials change."""
    return f"{version.decode()} {name}"


def _look_up(secret: str) -> GatewayCredential | None:
    found = find_credential(secret)
    if found:
        note_seen(found, datetime.now(UTC))
    return found
