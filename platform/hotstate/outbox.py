"""Changes that Valkey must see: written with what they tell of, delivered after commit, healed by a sweep.

The rooms above register what is to be done when Valkey has them; this one knows no other.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from django.db import transaction

from hotstate import names, publish
from hotstate.client import reaching_valkey
from hotstate.errors import Unreachable
from hotstate.models import OutboxEntry
from hotstate.records import BalanceRecord, KeyRecord, OrganizationRecord

log = structlog.get_logger(__name__)

Kind = OutboxEntry.Kind
KIND_OF = {KeyRecord: Kind.KEY, OrganizationRecord: Kind.ORGANIZATION, BalanceRecord: Kind.BALANCE}
TYPE_OF = {kind: record_type for record_type, kind in KIND_OF.items()}
# Entries per transaction of a delivery; balances in one entry, and their bytes.
BATCH = 50
TOGETHER = 100
TOGETHER_BYTES = 256 * 1024

# Told which API keys' and organizations' records Valkey took, and when by its clock, in the transaction that forgets
# the entries.
Confirmation = Callable[[list[publish.Record], datetime], None]
confirmations: list[Confirmation] = []


def add(
    records: Iterable[publish.Record], *, now: datetime, catalog: bool = False, gateways: bool = False
) -> list[int]:
    """Write entries in the caller's transaction, to be delivered after its commit. Returns their ids.

    `catalog` and `gateways` tell that the catalogue or gateways' credentials are to be read anew.
    """
    encoded = chain(_encoded(records), [(Kind.CATALOG, b"")] * catalog, [(Kind.GATEWAYS, b"")] * gateways)
    ids: list[int] = []
    # A portion at a time: a large segment's entries don't fit in memory together.
    while portion := list(islice(encoded, BATCH)):
        entries = [OutboxEntry(kind=kind, record=record, created_at=now) for kind, record in portion]
        ids += [entry.pk for entry in OutboxEntry.objects.bulk_create(entries)]
    transaction.on_commit(lambda: _deliver_quietly(ids), robust=True)
    return ids


def require_delivered(ids: list[int]) -> None:
    """Return once Valkey has these entries. Raises Unreachable; the sweep delivers them later all the same."""
    while OutboxEntry.objects.filter(pk__in=ids).exists():
        # The delivery after commit failed, or another process has the entries in hand.
        deliver(ids)


def waiting() -> list[int]:
    """Ids of what is to be delivered at this moment."""
    return list(OutboxEntry.objects.order_by("id").values_list("pk", flat=True))


def deliver(ids: list[int] | None = None) -> int:
    """Deliver these entries, or the oldest ones; return how many. Raises Unreachable, leaving them in place."""
    pending = OutboxEntry.objects.order_by("id")
    if ids is not None:
        pending = pending.filter(pk__in=ids)
    delivered = 0
    while True:
        with transaction.atomic():
            # A delivery by name waits for one in flight; the sweep takes what nobody has in hand.
            entries = list(pending.select_for_update(skip_locked=ids is None)[:BATCH])
            if not entries:
                return delivered
            at = _put_all(entries)
            told = [
                record for entry in entries if entry.kind in (Kind.KEY, Kind.ORGANIZATION) for record in _records(entry)
            ]
            for confirm in confirmations:
                confirm(told, at)
            OutboxEntry.objects.filter(pk__in=[entry.pk for entry in entries]).delete()
            delivered += len(entries)


def _put_all(entries: list[OutboxEntry]) -> datetime:
    """Tell Valkey, and return when by its clock it had all of it."""
    with reaching_valkey() as valkey:
        pipeline: Any = valkey.pipeline(transaction=False)
        for entry in entries:
            _put(pipeline, entry)
        pipeline.execute_command("TIME")
        *_, (seconds, microseconds) = pipeline.execute()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def _put(pipeline: Any, entry: OutboxEntry) -> None:
    if entry.kind == Kind.CATALOG:
        pipeline.incr(names.CATALOG_VERSION)
    elif entry.kind == Kind.GATEWAYS:
        # Never the same twice, also where Valkey lost its state in between.
        pipeline.set(names.GATEWAYS_VERSION, uuid4().hex)
    else:
        for record in _records(entry):
            publish.put(pipeline, record)
            if len(pipeline) >= publish.AT_ONCE:
                pipeline.execute()


def _encoded(records: Iterable[publish.Record]) -> Iterator[tuple[Kind, bytes]]:
    """A thousand balances change together: they share entries, up to a number of records or bytes."""
    balances: list[bytes] = []
    size = 0
    for record in records:
        encoded = msgspec.json.encode(record)
        if not isinstance(record, BalanceRecord):
            yield KIND_OF[type(record)], encoded
            continue
        if balances and (len(balances) >= TOGETHER or size + len(encoded) > TOGETHER_BYTES):
            yield Kind.BALANCE, b"[" + b",".join(balances) + b"]"
            balances, size = [], 0
        balances.append(encoded)
        size += len(encoded)
    if balances:
        yield Kind.BALANCE, b"[" + b",".join(balances) + b"]"


def _records(entry: OutboxEntry) -> list[publish.Record]:
    type_ = TYPE_OF[Kind(entry.kind)]
    found: Any = msgspec.json.decode(bytes(entry.record), type=type_ | list[type_])  # type: ignore[valid-type]
    return found if isinstance(found, list) else [found]


def _deliver_quietly(ids: list[int]) -> None:
    try:
        deliver(ids)
    except Unreachable as error:
        log.warning("outbox delivery put off", entries=len(ids), error=str(error))
