"""API keys by their secrets: a small cache in the process, then Valkey's index, then PostgreSQL.

A cached record may be old: the decision's script compares its version with the one in force on every request.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import Error as DatabaseError

from accounts import secrets
from accounts.models import ApiKey, ApiKeySecret
from billing.models import Balance
from billing.spending import spent_by_organization
from gateway import metrics
from gateway.database import in_thread
from hotstate import publish
from hotstate.client import reaching_valkey
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.records import BalanceRecord, KeyRecord

CACHE_SIZE = 20_000
UNKNOWN_FOR_SECONDS = 5.0


@dataclass(slots=True)
class Identity:
    """Who shows this secret. `record` is replaced where the script says that it is old."""

    digest: str
    record: KeyRecord

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
        self._cache: OrderedDict[str, Identity | float] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Identity | None]] = {}

    async def identify(self, secret: str) -> Identity | None:
        """Who that is, or None. Raises Unreachable where nobody can tell."""
        for _, digest in secrets.digests(secret):
            identity = await self._cached(digest.hex())
            if identity:
                return identity
        return None

    async def reload(self, identity: Identity) -> bool:
        """Publish the key's records from PostgreSQL again, because Valkey has lost them. False where it is gone."""
        self._cache.pop(identity.digest, None)
        fresh = await self._from_database(identity.digest)
        if fresh:
            identity.record = fresh.record
        return fresh is not None

    async def _cached(self, digest: str) -> Identity | None:
        known = self._cache.get(digest)
        if isinstance(known, Identity):
            self._cache.move_to_end(digest)
            metrics.key_cache.labels("hit").inc()
            return known
        if known is not None and known > time.monotonic():
            metrics.key_cache.labels("unknown").inc()
            return None
        metrics.key_cache.labels("miss").inc()
        # One look-up at a time for each secret.
        if digest in self._loading:
            return await asyncio.shield(self._loading[digest])
        self._loading[digest] = asyncio.ensure_future(self._load(digest))
        try:
            identity = await asyncio.shield(self._loading[digest])
        finally:
            self._loading.pop(digest, None)
        self._remember(digest, identity or time.monotonic() + UNKNOWN_FOR_SECONDS)
        return identity

    def _remember(self, digest: str, what: Identity | float) -> None:
        self._cache[digest] = what
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)

    async def _load(self, digest: str) -> Identity | None:
        record = await self._hotstate.find(digest)
        if record and digest in record.secrets:
            return Identity(digest, record)
        return await self._from_database(digest)

    async def _from_database(self, digest: str) -> Identity | None:
        try:
            record = await in_thread(lambda: load_and_publish(digest, datetime.now(UTC)))
        except DatabaseError as error:
            raise Unreachable("PostgreSQL: " + str(error)) from error
        return Identity(digest, record) if record else None


def load_and_publish(digest: str, now: datetime) -> KeyRecord | None:
    """Read a key by its secret's digest and give Valkey what a decision on it needs."""
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
    with reaching_valkey() as valkey:
        pipeline = valkey.pipeline(transaction=False)
        publish.put(pipeline, organization.record())
        publish.put(pipeline, key.record())
        publish.put(pipeline, state)
        pipeline.execute()
    return key.record()
