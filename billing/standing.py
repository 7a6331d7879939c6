"""Events as they are charged now: what was posted, and the latest correction of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import msgspec
from django.db import connection

BATCH = 2_000
_usage = msgspec.json.Decoder(dict[str, int])


@dataclass(frozen=True, slots=True)
class Standing:
    """An event with the outcome, usage, price version, multipliers and charge (nano-dollars) that hold now."""

    id: UUID
    time: datetime
    organization_id: int
    api_key_id: int
    model_id: int
    route_id: int | None
    segment_id: int
    outcome: str
    variant: str
    estimated: bool
    multipliers: list[int]
    price_version_id: int | None
    charge_nanos: int
    corrections: int
    first_correction: int | None
    usage: dict[str, int]

    @property
    def day(self) -> date:
        return self.time.date()


@dataclass(frozen=True)
class Scope:
    """Events by id, from `first` on and before `end`; of one model (by pk), or of all."""

    first: UUID
    end: UUID
    model_id: int | None = None


SELECT = """
SELECT event.id, event.time, event.organization_id, event.api_key_id, event.model_id, event.route_id, event.segment_id,
    coalesce(nullif(latest.outcome, ''), event.outcome), event.variant, event.estimated,
    coalesce(latest.multipliers, event.multipliers),
    CASE WHEN latest.number IS NULL THEN event.price_version_id ELSE latest.price_version_id END,
    coalesce(latest.new_charge_nanos, event.charge_nanos), coalesce(latest.number, 0), earliest.transaction_id,
    coalesce(latest.usage, event.usage)::text
FROM billing_usageevent AS event
LEFT JOIN LATERAL (
    SELECT * FROM billing_eventcorrection WHERE event_id = event.id ORDER BY number DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT transaction_id FROM billing_eventcorrection WHERE event_id = event.id AND transaction_id IS NOT NULL
    ORDER BY number LIMIT 1
) AS earliest ON true
WHERE event.id >= %s AND event.id < %s AND (%s::bigint IS NULL OR event.model_id = %s)
ORDER BY event.id LIMIT %s
"""


def batches(scope: Scope) -> Iterator[list[Standing]]:
    """The events of a scope in order of their ids, as they are when each batch is asked for."""
    first = scope.first
    while batch := _read(first, scope):
        yield batch
        first = UUID(int=batch[-1].id.int + 1)


def reread(batch: list[Standing], scope: Scope) -> list[Standing]:
    """The events from the first of a batch to its last, as they are now."""
    return _read(batch[0].id, Scope(scope.first, UUID(int=batch[-1].id.int + 1), scope.model_id))


def _read(first: UUID, scope: Scope) -> list[Standing]:
    with connection.cursor() as cursor:
        cursor.execute(SELECT, [first, scope.end, scope.model_id, scope.model_id, BATCH])
        return [Standing(*(*row[:-1], _usage.decode(row[-1]))) for row in cursor.fetchall()]
