"""A day that has millions of events already, with all that belongs to them, written in bulk."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing import ledger, rollups, secret_use, turns
from billing.models import Account, RollupKind, Segment, TransactionKind
from billing.partitions import partition_name
from billing.rollups import Group, Sums
from billing.tally import HOUR_MS

PORTION = 500_000
WRITTEN = ("billing_hourlyusage", "billing_dailyusage", "billing_secretuse", "billing_ledgerentry")
SOURCE = "gw-full-day"
# The prices of `population`: $3 and $15 per 1M tokens, in nano-dollars a token.
EVENTS = """
WITH keys AS (SELECT array_agg(id ORDER BY id) AS ids, array_agg(organization_id ORDER BY id) AS owners
    FROM accounts_apikey),
versions AS (SELECT array_agg(model_id ORDER BY id) AS models, array_agg(id ORDER BY id) AS ids
    FROM billing_priceversion WHERE superseded_at IS NULL),
drawn AS (
    SELECT number, %(start)s::bigint + number * %(span)s::bigint / %(total)s AS ms,
        1 + floor(random() * array_length(keys.ids, 1))::int AS key,
        1 + number %% array_length(versions.ids, 1) AS model,
        floor(random() * 2000)::bigint AS tokens_in, floor(random() * 500)::bigint AS tokens_out
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number, keys, versions
)
INSERT INTO billing_usageevent (id, time, organization_id, api_key_id, model_id, segment_id, line, source, seq,
    endpoint, status, outcome, stream, estimated, variant, attempts, upstream_request_id, usage, price_version_id,
    multipliers, charge_nanos, reason, kind, estimator)
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))
        ::uuid,
    to_timestamp(ms / 1000.0), keys.owners[key], keys.ids[key], versions.models[model], %(segment)s, number, %(source)s,
    number, 'chat.completions', 200, 'completed', true, false, '', 1, '',
    jsonb_build_object('requests', 1, 'input_tokens', tokens_in, 'output_tokens', tokens_out), versions.ids[model],
    '{}', tokens_in * 3000 + tokens_out * 15000, 'as_reported', 'usage', 0
FROM drawn, keys, versions
"""
SUMS = """
SELECT organization_id, api_key_id, model_id, date_trunc('hour', time, 'UTC'), count(*), sum(charge_nanos)::bigint,
    sum((usage->>'input_tokens')::bigint)::bigint, sum((usage->>'output_tokens')::bigint)::bigint,
    (extract(epoch FROM max(time)) * 1000)::bigint
FROM billing_usageevent WHERE segment_id = %s GROUP BY 1, 2, 3, 4
"""


def fill_day(count: int, until: datetime, now: datetime) -> None:
    """Post `count` events of a day (UTC) until then, as one segment without a file."""
    day, start = until.date(), until.replace(hour=0, minute=0, second=0, microsecond=0)
    segment = Segment.objects.create(
        identity="full-day", source=SOURCE, origin=Segment.Origin.FILE, path="-", size_bytes=0, received_at=now
    )
    parameters: dict[str, Any] = {
        "start": int(start.timestamp() * 1000),
        "span": max(1, (until - start) // timedelta(milliseconds=1)),
        "total": count,
        "source": SOURCE,
    }
    for first in range(0, count, PORTION):
        last = min(first + PORTION, count) - 1
        with connection.cursor() as cursor:
            cursor.execute(EVENTS, {**parameters, "first": first, "last": last, "segment": segment.pk})
    _post(segment, count, day, now)
    with connection.cursor() as cursor:
        # What so many rows at once leave to be done is not the cost of the events that come after them.
        cursor.execute(f"VACUUM ANALYZE {', '.join((partition_name(day), *WRITTEN))}")
        cursor.execute("CHECKPOINT")


@transaction.atomic
def _post(segment: Segment, count: int, day: date, now: datetime) -> None:
    hourly: dict[tuple[datetime, Group], Sums] = {}
    uses: secret_use.Counts = {}
    charges: dict[int, int] = defaultdict(int)
    with connection.cursor() as cursor:
        cursor.execute(SUMS, [segment.pk])
        for organization, key, model, hour, events, nanos, tokens_in, tokens_out, last_ms in cursor.fetchall():
            meters = {"requests": events, "input_tokens": tokens_in, "output_tokens": tokens_out}
            group = Group(organization, key, model, 0, RollupKind.USAGE)
            hourly[hour.astimezone(UTC), group] = Sums(events, 0, nanos, meters)
            use = uses.setdefault((key, 0, last_ms // HOUR_MS), [0, 0])
            use[0] += events
            use[1] = max(use[1], last_ms)
            charges[organization] += nanos
    rollups.add(hourly)
    secret_use.add(uses)
    movements = [
        ledger.Movement(
            operation_key=f"usage:{segment.pk}:{organization}:{day}",
            kind=TransactionKind.USAGE,
            organization_id=organization,
            nanos=-nanos,
            counter=Account.REVENUE,
            event_day=day,
        )
        for organization, nanos in sorted(charges.items())
    ]
    ledger.post(movements, now=now)
    segment.lines = segment.new = count
    segment.new_by_day = {str(day): count}
    segment.posted_at, segment.number = now, turns.number()
    segment.save()
