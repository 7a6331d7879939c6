"""What was computed again against what is in the books."""

from datetime import date, timedelta

from django.db import connection

from billing.meters import METERS
from billing.models import UsageEvent
from billing.partitions import first_id
from billing.proofs.shape import Finding, look, together
from billing.rebuilding.scratch import SCHEMA

_NUMBERS = ("events", "errors", "charge_nanos", *METERS)
_EVENT = [str(field.column) for field in UsageEvent._meta.concrete_fields if not field.primary_key]


def compare(real: str) -> dict[str, Finding]:
    """By what was compared, in order of what depends on what."""
    found = {"events": together(look(_events(real), _ids(day)) for day in _event_days(real))}
    for name, sql in (
        ("segments", SEGMENTS),
        ("hourly_sums", _sums("billing_hourlyusage", "hour")),
        ("daily_sums", _sums("billing_dailyusage", "day")),
        ("usage_entries", ENTRIES),
        ("balances", BALANCES),
    ):
        found[name] = look(sql.format(real=real, again=SCHEMA), {})
    return found


def _event_days(real: str) -> list[date]:
    """The days whose events are in the books still."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') FROM pg_inherits"
            " WHERE inhparent = %s::regclass ORDER BY 1",
            [f"{real}.billing_usageevent"],
        )
        return [row[0] for row in cursor.fetchall()]


def _ids(day: date) -> dict[str, object]:
    return {"first": first_id(day), "end": first_id(day + timedelta(days=1))}


def _events(real: str) -> str:
    differing = ", ".join(f"CASE WHEN again.{name} IS DISTINCT FROM posted.{name} THEN '{name}' END" for name in _EVENT)
    own = "(SELECT * FROM {schema}.billing_usageevent WHERE id >= %(first)s AND id < %(end)s)"
    return (
        "SELECT CASE WHEN differing <> '' THEN format('event %%s: %%s nano-dollars of segment %%s in the books, %%s of"  # noqa: S608
        " %%s again; other is: %%s', id, posted.charge_nanos, posted.segment_id, again.charge_nanos, again.segment_id,"
        f" differing) END AS wrong FROM {own.format(schema=real)} AS posted"
        f" FULL JOIN {own.format(schema=SCHEMA)} AS again USING (id)"
        f" CROSS JOIN LATERAL (SELECT concat_ws(', ', {differing}) AS differing) AS columns"
    )


SEGMENTS = """
SELECT CASE WHEN (posted.lines, posted.new, posted.duplicate, posted.quarantined, posted.new_by_day)
        IS DISTINCT FROM (again.lines, again.new, again.duplicate, again.quarantined, again.new_by_day) THEN
    format('segment %%s (%%s): %%s new of %%s lines in the books, %%s of %%s again', id, posted.identity, posted.new,
        posted.lines, again.new, again.lines) END AS wrong
FROM {real}.billing_segment AS posted LEFT JOIN {again}.billing_segment AS again USING (id)
WHERE posted.posted_at IS NOT NULL
"""
ENTRIES = """
WITH posted AS (
    SELECT operation_key, sum(amount_nanos) AS nanos
    FROM {real}.billing_ledgertransaction AS one JOIN {real}.billing_ledgerentry AS entry ON transaction_id = one.id
    WHERE account = 'revenue' AND kind IN ('usage', 'adjustment') GROUP BY 1
), again AS (
    SELECT operation_key, sum(amount_nanos) AS nanos
    FROM {again}.billing_ledgertransaction AS one JOIN {again}.billing_ledgerentry AS entry ON transaction_id = one.id
    WHERE account = 'revenue' GROUP BY 1
)
SELECT CASE WHEN posted.nanos IS DISTINCT FROM again.nanos THEN
    format('transaction %%s: %%s nano-dollars in the books, %%s again', operation_key, coalesce(posted.nanos, 0),
        coalesce(again.nanos, 0)) END AS wrong
FROM posted FULL JOIN again USING (operation_key)
"""
# The usage computed again, beside the ledger's other entries.
BALANCES = """
WITH other AS (
    SELECT entry.organization_id, sum(amount_nanos) AS nanos
    FROM {real}.billing_ledgerentry AS entry JOIN {real}.billing_ledgertransaction AS one ON one.id = transaction_id
    WHERE entry.organization_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM {real}.billing_ledgerentry AS revenue
        WHERE revenue.transaction_id = one.id AND account = 'revenue' AND one.kind IN ('usage', 'adjustment')
    ) GROUP BY 1
), again AS (
    SELECT organization_id, sum(amount_nanos) AS nanos FROM {again}.billing_ledgerentry
    WHERE organization_id IS NOT NULL GROUP BY 1
)
SELECT CASE WHEN coalesce(balance.nanos, 0) <> coalesce(other.nanos, 0) + coalesce(again.nanos, 0) THEN
    format('organization %%s: a balance of %%s nano-dollars in the books, %%s again', organization_id,
        coalesce(balance.nanos, 0), coalesce(other.nanos, 0) + coalesce(again.nanos, 0)) END AS wrong
FROM {real}.billing_balance AS balance FULL JOIN other USING (organization_id) FULL JOIN again USING (organization_id)
"""


SUMS = """
SELECT CASE WHEN {differ} THEN
    format('%%s: organization %%s, key %%s, model %%s, %%s: %%s nano-dollars in the books, %%s again', {span},
        organization_id, api_key_id, model_id, kind, coalesce(posted.charge_nanos, 0), coalesce(again.charge_nanos, 0))
    END AS wrong
FROM (SELECT *, coalesce(route_id, 0) AS route FROM {{real}}.{table} WHERE kind <> 'correction') AS posted
FULL JOIN (SELECT *, coalesce(route_id, 0) AS route FROM {{again}}.{table}) AS again
    USING ({span}, organization_id, api_key_id, model_id, route, kind)
"""


def _sums(table: str, span: str) -> str:
    differ = " OR ".join(f"coalesce(posted.{name}, 0) <> coalesce(again.{name}, 0)" for name in _NUMBERS)
    return SUMS.format(table=table, span=span, differ=differ)
