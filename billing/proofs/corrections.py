"""Corrections are the same in their rows, the rollups and the ledger, and each builds on the one before."""

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


def _check(extent: Extent) -> Finding:
    # The chain is what one counts: each correction once.
    sums = look(SUMS, extent.parameters)
    return look(CHAIN, extent.parameters) + Finding(0, sums.wrong, sums.offender)


PROOFS = [
    Proof(
        "corrections",
        "Corrections are the same in events, sums and ledger, and each begins where the one before ended.",
        _check,
    )
]
