"""Closing days: from then on, what comes for them is an adjustment, and a row keeps their figures for the proofs.

A closed day has two hashes. That of charges folds what each organization was charged by each segment: events give it on
the day of closing, and the ledger gives it ever after. That of sums folds the day's rollups.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from billing import turns
from billing.meters import METERS
from billing.models import ClosedDay, Segment
from billing.partitions import first_id

# A gateway ships at least an empty segment a minute, so that one has reported midnight is known soon after.
REPORTED = timedelta(minutes=2)
# Other sources have reported when they were silent for so long.
SILENCE = timedelta(hours=2)
# So long after its end a day is closed whatever is missing; the row says what was.
OVERDUE = timedelta(hours=6)


class NotOver(ValueError):
    """A day that can't be closed yet: it isn't over."""


def start_of(day: date) -> datetime:
    """The midnight (UTC) that begins a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The midnight (UTC) that ends a day."""
    return start_of(day) + timedelta(days=1)


def closed_among(days: Iterable[date]) -> set[date]:
    """Those of these days that are closed. A posting asks after `turns.follow`."""
    return set(ClosedDay.objects.filter(day__in=list(days)).values_list("day", flat=True))


def ready_to_close(day: date, now: datetime) -> list[str]:
    """What is missing before a day may be closed, in words; nothing if it is ready."""
    end = end_of(day)
    if now < end + REPORTED:
        return [f"{day} isn't over yet, or only just."]
    missing = []
    waiting = Segment.objects.unposted().count()
    if waiting:
        missing.append(f"{waiting} segments wait to be posted.")
    sources = Segment.objects.values_list("source").annotate(last=Max("received_at")).order_by("source")
    gateways = sources.filter(origin=Segment.Origin.GATEWAY, received_at__gte=end - timedelta(days=1))
    others = sources.filter(origin__in=[Segment.Origin.API, Segment.Origin.FILE], received_at__gte=now - SILENCE)
    missing += [
        f"{source} has not reported since {last:%Y-%m-%d %H:%M} UTC."
        for source, last in gateways
        if last < end + REPORTED
    ]
    missing += [f"{source} sent usage at {last:%H:%M} UTC and may send more." for source, last in others]
    return missing


def close_day(day: date, now: datetime) -> ClosedDay:
    """Close a day, once; again, it is the same row. Raises NotOver, and turns.Busy.

    Postings wait only while the day is sealed; its figures are counted after that, when no posting changes them.
    """
    if now < end_of(day):
        raise NotOver(f"{day} isn't over.")
    _seal(day, now)
    with transaction.atomic():
        closed = ClosedDay.objects.select_for_update().get(day=day)
        if closed.closed_at is None:
            closed.events, closed.charge_nanos, closed.charges_hash = charged_by_events(day)
            closed.sums_hash = hashes_of_sums([day])[day]
            closed.closed_at = now
            closed.save(update_fields=["closed_at", "events", "charge_nanos", "charges_hash", "sums_hash"])
    return closed


def _seal(day: date, now: datetime) -> None:
    if ClosedDay.objects.filter(day=day).exists():
        return
    missing = [words[:300] for words in ready_to_close(day, now)]
    with transaction.atomic():
        number = turns.take()
        ClosedDay.objects.get_or_create(day=day, defaults={"sealed_at": now, "number": number, "missing": missing})


# Organization by organization, so that no text grows beyond what one of them did in a day.
FOLD = """
WITH folded AS (
    SELECT day, organization_id, sum(events) AS events, sum(nanos) AS nanos,
        sha256(
            string_agg(segment_id || ':' || nanos, ',' ORDER BY segment_id) FILTER (WHERE nanos <> 0)::bytea
        ) AS digest
    FROM ({sums}) AS sums GROUP BY day, organization_id
)
SELECT day, sum(events)::bigint, sum(nanos)::bigint, encode(sha256(coalesce(
    string_agg(organization_id || ':' || encode(digest, 'hex'), ',' ORDER BY organization_id)
        FILTER (WHERE nanos <> 0), ''
)::bytea), 'hex') FROM folded GROUP BY day
"""
OF_EVENTS = """
SELECT %s::date AS day, organization_id, segment_id, count(*) AS events, sum(charge_nanos)::bigint AS nanos
FROM billing_usageevent WHERE id >= %s AND id < %s AND kind = 'usage' GROUP BY 2, 3
"""
OF_LEDGER = """
SELECT posted.event_day AS day, posted.organization_id,
    split_part(posted.operation_key, ':', 2)::bigint AS segment_id, 0 AS events, sum(amount_nanos)::bigint AS nanos
FROM billing_ledgertransaction AS posted JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
WHERE posted.event_day >= %s AND posted.event_day <= %s AND posted.event_day = ANY(%s) AND posted.kind = 'usage'
    AND entry.account = 'revenue'
GROUP BY 1, 2, 3
"""
_GROUP = ("organization_id", "api_key_id", "model_id", "coalesce(route_id, 0)")
_MEASURES = ("events", "errors", "charge_nanos", *METERS)
OF_SUMS = f"""
WITH folded AS (
    SELECT day, organization_id, sha256(string_agg(
        concat_ws(':', {", ".join((*_GROUP, *_MEASURES))}), ',' ORDER BY api_key_id, model_id, route_id
    )::bytea) AS digest
    FROM billing_dailyusage WHERE day = ANY(%s) AND kind = 'usage' GROUP BY day, organization_id
)
SELECT day, encode(sha256(
    string_agg(organization_id || ':' || encode(digest, 'hex'), ',' ORDER BY organization_id)::bytea
), 'hex') FROM folded GROUP BY day
"""  # noqa: S608  (names of ours)
# Of nothing.
EMPTY = sha256(b"").hexdigest()


def charged_by_events(day: date) -> tuple[int, int, str]:
    """How many events of kind usage a day has, their charges in nano-dollars, and the hash of charges."""
    rows = _rows(FOLD.format(sums=OF_EVENTS), [day, first_id(day), first_id(day + timedelta(days=1))])
    return next(((events, nanos, digest) for _, events, nanos, digest in rows), (0, 0, EMPTY))


def charged_by_ledger(days: list[date]) -> dict[date, tuple[int, str]]:
    """Usage of some days as the ledger has it: nano-dollars, and the hash of charges."""
    rows = _rows(FOLD.format(sums=OF_LEDGER), [min(days), max(days), days]) if days else []
    return dict.fromkeys(days, (0, EMPTY)) | {day: (nanos, digest) for day, _, nanos, digest in rows}


def hashes_of_sums(days: list[date]) -> dict[date, str]:
    """The hashes of some days' rollups of kind usage."""
    return dict.fromkeys(days, EMPTY) | dict(_rows(OF_SUMS, [days]))


def _rows(sql: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[Any] = cursor.fetchall()
    return found
