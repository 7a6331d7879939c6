"""API keys by their secrets: a small cache in the process, then Valkey's index, then PostgreSQL.

A cached record may be old: the decision's script compares its version with the one in force on every request.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from accounts import secrets
from accounts.models import ApiKey, ApiKeySecret
from billing.models import Balance
from billing.spending import spent_by_organization
from gateway import metrics
from gateway.database import in_thread, needing_postgres
from gateway.deciding.strangers import Strangers
from gateway.models import GatewayCredential
from hotstate import loading
from hotstate.client import reaching_valkey
from hotstate.errors import LostError
from hotstate.fast import HotState
from hotstate.records import BalanceRecord, KeyRecord, OrganizationRecord


@dataclass(slots=True)
class Identity:
    """Who shows this secret. The records are replaced where the script says that they are old."""

    digest: str
    record: KeyRecord
    organization: OrganizationRecord
    # The place in the cache.
    place: bytes = b""

    @property
    def secret_id(self) -> str:
        return self.record.secrets[self.digest][0]

    def secret_lapsed(self, now_ms: int) -> bool:
        """Whether rotation has ended this secret."""
        lapses_ms = self.record.secrets[self.digest][1]
        return lapses_ms is not None and lapses_ms <= now_ms


class Keyring:
    def __init__(self, hotstate: HotState) -> None:
        self._hotstate = hotstate
        # By the secret's plain SHA-256, which stays in this process: known secrets cost one hash.
        self._cache: OrderedDict[bytes, Identity] = OrderedDict()
        self._strangers = Strangers()
        self._loading: dict[str, asyncio.Future[Identity | None]] = {}
        self._reloading: dict[tuple[str, str | None], asyncio.Future[Identity | None]] = {}

    async def identify(self, secret: str, address: str | None, asking: GatewayCredential | None) -> Identity | None:
        """Who that is, or None; to a gateway's credential, keys of organizations that it isn't for are nobody's.

        `address` is the client's. Raises TooManyStrangers; Unreachable and ApiError where nobody can tell.
        """
        place = _place(secret)
        identity = self._cache.get(place)
        if identity:
            self._cache.move_to_end(place)
            metrics.cache_hits.inc()
        else:
            identity = await self._find(secret, place, address)
        if identity is None or asking is None or asking.serves(identity.record.org):
            return identity
        # From here on as for one that nobody has.
        name = f"{asking.pk} {identity.digest}"
        if not self._strangers.known(name):
            self._strangers.check(address)
            self._strangers.note(name, address)
        return None

    def has(self, secret: str) -> bool:
        """Whether this process knows whose that is, so that the format needs no second look."""
        return _place(secret) in self._cache

    async def reload(self, identity: Identity) -> bool:
        """Publish the key's records from PostgreSQL again, because this era hasn't them. False where it is gone.

        Raises Unreachable, also where Valkey has lost its state: then all of it has to be recovered first.
        """
        # A budget that was changed sends all requests of its key here at once, and so does a new era.
        asked = (identity.digest, self._hotstate.era)
        if asked not in self._reloading:
            reading = self._reloading[asked] = asyncio.ensure_future(self._from_database([identity.digest]))
            reading.add_done_callback(lambda _: self._reloading.pop(asked))
        fresh = await asyncio.shield(self._reloading[asked])
        if fresh is None:
            self._cache.pop(identity.place, None)
            return False
        identity.record, identity.organization = fresh.record, fresh.organization
        return True

    async def _find(self, secret: str, place: bytes, address: str | None) -> Identity | None:
        digests = [digest.hex() for _, digest in secrets.digests(secret)]
        name = digests[0]
        if self._strangers.known(name):
            metrics.cached_unknown.inc()
            return None
        metrics.cache_misses.inc()
        # One look-up at a time for each secret; it goes on where who asked first has gone.
        if name not in self._loading:
            look_up = self._loading[name] = asyncio.ensure_future(self._load(digests, place, address))
            look_up.add_done_callback(lambda _: self._loading.pop(name))
        return await asyncio.shield(self._loading[name])

    async def _load(self, digests: list[str], place: bytes, address: str | None) -> Identity | None:
        identity = await self._from_valkey(digests)
        if identity is None:
            async with self._strangers.look_up(address):
                identity = await self._from_database(digests)
                if identity is None:
                    self._strangers.note(digests[0], address)
                    return None
        identity.place = place
        self._cache[place] = identity
        if len(self._cache) > settings.KEY_CACHE_SIZE:
            self._cache.popitem(last=False)
        return identity

    async def _from_valkey(self, digests: list[str]) -> Identity | None:
        for digest in digests:
            record = await self._hotstate.find(digest)
            if record and digest in record.secrets:
                organization = await self._hotstate.organization(record.org)
                return Identity(digest, record, organization) if organization else None
        return None

    async def _from_database(self, digests: list[str]) -> Identity | None:
        era = self._hotstate.era

        def load() -> Identity | None:
            for digest in digests:
                if records := load_and_publish(digest, datetime.now(UTC), era):
                    return Identity(digest, *records)
            return None

        try:
            with needing_postgres():
                return await in_thread(load)
        except LostError:
            self._hotstate.stand_on(None)
            raise


def _place(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def load_and_publish(digest: str, now: datetime, era: str | None) -> tuple[KeyRecord, OrganizationRecord] | None:
    """Read a key and its organization by a secret's digest and give Valkey what a decision of that era needs.

    Raises LostError.
    """
    secret = ApiKeySecret.objects.filter(digest=bytes.fromhex(digest)).first()
    if secret is None:
        return None
    key = ApiKey.objects.select_related("organization").prefetch_related("secrets").get(pk=secret.api_key_id)
    organization = key.organization
    # The balance first: spending that is newer than its version is published again with the next version.
    balance = Balance.objects.filter(organization=organization).first()
    version, nanos = (balance.version, balance.nanos) if balance else (0, 0)
    spending = spent_by_organization([key.pk], now).get(organization.pk, [])
    state = BalanceRecord(org=organization.public_id, version=version, nanos=nanos, spent=tuple(spending))
    records = key.record(), organization.record()
    if era is not None:
        with reaching_valkey() as valkey:
            loading.load(valkey, [*records, state], era)
    return records
