"""Records as PostgreSQL has them now → Valkey, so that decisions of an era believe them.

A change that comes by the outbox may be older than one that was delivered and lost: it is taken by its version, but
brings nothing into an era. And Valkey may be emptied while it is loaded: an organization belongs to the era only if it
is still there, with what this loading left in it, after the mark of the era was seen.
"""

import secrets
from collections.abc import Iterable
from typing import Any

import redis

from hotstate import eras, names, publish, scripts
from hotstate.records import OrganizationRecord


def load(valkey: redis.Redis, records: Iterable[publish.Record], era: str) -> int:
    """Publish records that were read after the era began; return how many. Raises LostError where it is over."""
    pipeline, own = valkey.pipeline(transaction=False), secrets.token_hex(8)
    results: list[Any] = []
    count, claims = 0, []
    for record in records:
        if isinstance(record, OrganizationRecord):
            claims.append((len(results) + len(pipeline), record.org))
        publish.put(pipeline, record, era=era, token=own)
        count += 1
        if len(pipeline) >= publish.AT_ONCE:
            results += pipeline.execute()
    results += pipeline.execute()
    eras.require(valkey, era)
    confirming = valkey.pipeline(transaction=False)
    for at, org in claims:
        if token := results[at]:
            confirming.eval(scripts.CONFIRM, 1, names.organization_hash(org), era, token)
        if len(confirming) >= publish.AT_ONCE:
            confirming.execute()
    confirming.execute()
    return count
