"""Corrections are the same in their rows, the rollups and the ledger, and each builds on the one before."""

from billing.meters import METERS
from billing.proofs.shape import Extent, Finding, Proof, look

SUMS = """
SELECT CASE WHEN coalesce(made.nanos, 0) <> coalesce(rolled.nanos, 0)
        OR coalesce(made.nanos, 0) <> coalesce(posted.nanos, 0) THEN
    format('%%s: organization %%s: corrections come to %%s nano-dollars, the sums to %%s, the ledger to %%s', day,
        organization_id, coalesce(made.nanos, 0), coalesce(rolled.nanos, 0), coalesce(posted.nanos, 0)) END AS wrong
FROM (
    SELECT event_day AS day, organization_id, sum(new_charge_nanos - old_charge_nanos) AS nanos
    FROM billing_eventcorrection WHERE %(day)s::date IS NULL OR event_day = %(day)s GROUP BY 1, 2
) AS made
FULL JOIN (
    SELECT day, organization_id, sum(charge_nanos) AS nanos FROM billing_dailyusage
    WHERE kind = 'correction' AND (%(day)s::date IS NULL OR day = %(day)s) GROUP BY 1, 2
) AS rolled USING (day, organization_id)
FULL JOIN (
    SELECT posted.event_day AS day, posted.organization_id, sum(amount_nanos) AS nanos
    FROM billing_ledgertransaction AS posted JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
    WHERE posted.kind = 'correction' AND entry.account = 'revenue'
        AND (%(day)s::date IS NULL OR posted.event_day = %(day)s) GROUP BY 1, 2
) AS posted USING (day, organization_id)
"""
CHAIN = """
SELECT CASE WHEN number <> place OR old_charge_nanos <> coalesce(before, posted, old_charge_nanos) THEN
    format('event %%s: correction %%s begins at %%s nano-dollars, and %%s were charged', event_id, number,
        old_charge_nanos, coalesce(before, posted)) END AS wrong
FROM (
    SELECT made.*, row_number() OVER one AS place, lag(new_charge_nanos) OVER one AS before,
        event.charge_nanos AS posted
    FROM billing_eventcorrection AS made LEFT JOIN billing_usageevent AS event ON event.id = made.event_id
    WHERE %(day)s::date IS NULL OR event_day = %(day)s
    WINDOW one AS (PARTITION BY made.event_id ORDER BY made.number)
) AS chained
"""

# What the corrections of a transaction come to is what it moved, and it corrects what posted their events.
TRANSACTIONS = """
SELECT CASE
    WHEN made.nanos IS DISTINCT FROM moved.nanos THEN
        format('transaction %%s: %%s nano-dollars, and its corrections come to %%s', posted.id,
            coalesce(moved.nanos, 0), coalesce(made.nanos, 0))
    WHEN strays > 0 THEN
        format('transaction %%s corrects transaction %%s, which did not post its events', posted.id, corrects_id)
    END AS wrong
FROM billing_ledgertransaction AS posted
LEFT JOIN (
    SELECT transaction_id, sum(amount_nanos) AS nanos FROM billing_ledgerentry WHERE account = 'revenue' GROUP BY 1
) AS moved ON moved.transaction_id = posted.id
LEFT JOIN (
    SELECT made.transaction_id, sum(new_charge_nanos - old_charge_nanos) AS nanos, count(*) FILTER (
        WHERE event.id IS NOT NULL AND root.id IS NOT NULL AND root.id IS DISTINCT FROM of.corrects_id
    ) AS strays
    FROM billing_eventcorrection AS made JOIN billing_ledgertransaction AS of ON of.id = made.transaction_id
    LEFT JOIN billing_usageevent AS event ON event.id = made.event_id
    LEFT JOIN billing_ledgertransaction AS root ON root.operation_key
        = format('usage:%%s:%%s:%%s', event.segment_id, made.organization_id, made.event_day)
    GROUP BY 1
) AS made ON made.transaction_id = posted.id
WHERE posted.kind = 'correction' AND (%(day)s::date IS NULL OR posted.event_day = %(day)s)
"""
_OWN = ", ".join(
    f"sum(coalesce((made.usage->>'{meter}')::bigint, 0) - coalesce((event.usage->>'{meter}')::bigint, 0)) AS {meter}"
    for meter in METERS
)
_DIFFER = " OR ".join(f"coalesce(made.{name}, 0) <> coalesce(rolled.{name}, 0)" for name in ("errors", *METERS))
# The last correction of an event less the event is all that its corrections changed.
METERED = f"""
SELECT CASE WHEN {_DIFFER} THEN
    format('%%s: organization %%s, key %%s, model %%s: units of the corrections are not those of the sums', day,
        organization_id, api_key_id, model_id) END AS wrong
FROM (
    SELECT made.event_day AS day, event.organization_id, event.api_key_id, event.model_id,
        coalesce(event.route_id, 0) AS route, {_OWN},
        sum((coalesce(nullif(made.outcome, ''), event.outcome) <> 'completed')::int
            - (event.outcome <> 'completed')::int) AS errors
    FROM (
        SELECT DISTINCT ON (event_id) * FROM billing_eventcorrection
        WHERE event_day = ANY(%(days)s::date[]) ORDER BY event_id, number DESC
    ) AS made JOIN billing_usageevent AS event ON event.id = made.event_id
    GROUP BY 1, 2, 3, 4, 5
) AS made FULL JOIN (
    SELECT *, coalesce(route_id, 0) AS route FROM billing_dailyusage
    WHERE kind = 'correction' AND day = ANY(%(days)s::date[])
) AS rolled USING (day, organization_id, api_key_id, model_id, route)
"""  # noqa: S608  (names of ours)


def _check(extent: Extent) -> Finding:
    """The chain is what one counts: each correction once."""
    others = look(SUMS, extent.parameters) + look(TRANSACTIONS, extent.parameters)
    others += look(METERED, {"days": extent.event_days})
    return look(CHAIN, extent.parameters) + Finding(0, others.wrong, others.offender)


PROOFS = [
    Proof(
        "corrections",
        "Corrections are the same in events, sums and ledger, and each begins where the one before ended.",
        _check,
    )
]
