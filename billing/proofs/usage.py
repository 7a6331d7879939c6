"""Usage is the same in events, hourly and daily sums, and the ledger, to the nano-dollar and the token."""

from billing.meters import METERS
from billing.proofs.shape import Proof, by_event_day, over_all

CHARGES = """
SELECT CASE WHEN of_events.nanos IS DISTINCT FROM of_ledger.nanos THEN
    format('%%s: segment %%s, organization %%s, %%s: events have %%s nano-dollars, the ledger %%s', %(day)s,
        segment_id, organization_id, kind, coalesce(of_events.nanos, 0), coalesce(of_ledger.nanos, 0)) END AS wrong
FROM (
    SELECT segment_id, organization_id, kind, sum(charge_nanos) AS nanos FROM billing_usageevent
    WHERE id >= %(first)s AND id < %(end)s GROUP BY 1, 2, 3 HAVING sum(charge_nanos) <> 0
) AS of_events
FULL JOIN (
    SELECT substring(posted.operation_key FROM '^usage:([0-9]+):')::bigint AS segment_id, posted.organization_id,
        posted.kind::text AS kind, sum(entry.amount_nanos) AS nanos
    FROM billing_ledgertransaction AS posted JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
    WHERE posted.event_day = %(day)s AND entry.account = 'revenue' AND posted.kind IN ('usage', 'adjustment')
    GROUP BY 1, 2, 3
) AS of_ledger USING (segment_id, organization_id, kind)
"""
_GROUP = "organization_id, api_key_id, model_id, route, kind"
_MEASURES = ("events", "errors", "charge_nanos", *METERS)
_UNITS = ", ".join(f"sum(coalesce((usage->>'{meter}')::bigint, 0)) AS {meter}" for meter in METERS)
_SUMS = ", ".join(f"sum({measure}) AS {measure}" for measure in _MEASURES)


def _differ(left: str, right: str) -> str:
    return " OR ".join(f"coalesce({left}.{name}, 0) <> coalesce({right}.{name}, 0)" for name in _MEASURES)


def _told(left: str, right: str) -> str:
    return ", ".join(f"coalesce({side}.{name}, 0)" for name in ("events", "charge_nanos") for side in (left, right))


HOURLY = f"""
SELECT CASE WHEN {_differ("of_events", "hourly")} THEN
    format('%%s: organization %%s, key %%s, model %%s, %%s: %%s events and %%s in the sum, %%s nano-dollars and %%s',
        hour, organization_id, api_key_id, model_id, kind, {_told("of_events", "hourly")}) END AS wrong
FROM (
    SELECT date_trunc('hour', time, 'UTC') AS hour, organization_id, api_key_id, model_id,
        coalesce(route_id, 0) AS route, kind, count(*) AS events,
        count(*) FILTER (WHERE outcome <> 'completed') AS errors,
        sum(charge_nanos) AS charge_nanos, {_UNITS}
    FROM billing_usageevent WHERE id >= %(first)s AND id < %(end)s GROUP BY 1, 2, 3, 4, 5, 6
) AS of_events
FULL JOIN (
    SELECT *, coalesce(route_id, 0) AS route FROM billing_hourlyusage
    WHERE hour >= %(midnight)s AND hour < %(next_midnight)s AND kind <> 'correction'
) AS hourly USING (hour, {_GROUP})
"""  # noqa: S608  (names of ours)
DAILY = f"""
SELECT CASE WHEN {_differ("hourly", "daily")} THEN
    format('%%s: organization %%s, key %%s, model %%s, %%s: %%s events by hour and %%s by day, %%s nano-dollars'
        ' and %%s', day, organization_id, api_key_id, model_id, kind, {_told("hourly", "daily")}) END AS wrong
FROM (
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, organization_id, api_key_id, model_id,
        coalesce(route_id, 0) AS route, kind, {_SUMS}
    FROM billing_hourlyusage
    WHERE %(day)s::date IS NULL OR (hour >= %(day)s::timestamp AT TIME ZONE 'UTC'
        AND hour < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC')
    GROUP BY 1, 2, 3, 4, 5, 6
) AS hourly
FULL JOIN (
    SELECT *, coalesce(route_id, 0) AS route FROM billing_dailyusage WHERE %(day)s::date IS NULL OR day = %(day)s
) AS daily USING (day, {_GROUP})
"""  # noqa: S608  (names of ours)
PROOFS = [
    Proof(
        "charges",
        "What events were charged is what the ledger posted, by segment, organization and event day.",
        by_event_day(CHARGES),
    ),
    Proof(
        "hourly_sums", "Events add up to the hourly sums, in requests, charges and every meter.", by_event_day(HOURLY)
    ),
    Proof("daily_sums", "The hourly sums add up to the daily ones.", over_all(DAILY)),
]
