"""Closed days are as they were closed, also when their events are gone."""

from collections.abc import Iterator
from datetime import date

from billing import closing
from billing.models import ClosedDay
from billing.proofs.shape import Extent, Finding, Proof, look, together

# Usage in the ledger of a day that has neither events nor a row of its own is proved by nothing.
UNPROVED = """
SELECT CASE WHEN NOT event_day = ANY(%(known)s::date[]) THEN
    format('%%s has usage in the ledger, and neither events nor figures of a closed day', event_day) END AS wrong
FROM (
    SELECT DISTINCT event_day FROM billing_ledgertransaction
    WHERE kind IN ('usage', 'adjustment') AND operation_key LIKE 'usage:%%'
        AND (%(day)s::date IS NULL OR event_day = %(day)s)
) AS days
"""

# Days are closed in their order.
CONTIGUOUS = """
SELECT CASE WHEN day < (SELECT max(day) FROM billing_closedday WHERE closed_at IS NOT NULL) AND NOT EXISTS (
    SELECT FROM billing_closedday AS closed WHERE closed.day = used.day AND closed_at IS NOT NULL
) THEN format('%%s has usage and is open, and a later day is closed', day) END AS wrong
FROM (SELECT DISTINCT day FROM billing_dailyusage WHERE kind = 'usage') AS used
WHERE %(day)s::date IS NULL OR day = %(day)s
"""


# Late usage is in no day's figures. Without the events, ledger and sums are held to each other.
LATE = """
SELECT CASE WHEN coalesce(posted.nanos, 0) <> coalesce(summed.nanos, 0) THEN
    format('%%s, whose events are detached: organization %%s: late usage of %%s nano-dollars in the ledger, and %%s in'
        ' the daily sums', day, organization_id, coalesce(posted.nanos, 0), coalesce(summed.nanos, 0)) END AS wrong
FROM (
    SELECT posted.event_day AS day, posted.organization_id, sum(amount_nanos) AS nanos
    FROM billing_ledgertransaction AS posted JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
    WHERE posted.kind = 'adjustment' AND operation_key LIKE 'usage:%%' AND entry.account = 'revenue'
    GROUP BY 1, 2
) AS posted
FULL JOIN (
    SELECT day, organization_id, sum(charge_nanos) AS nanos FROM billing_dailyusage
    WHERE kind = 'adjustment' GROUP BY 1, 2
) AS summed USING (day, organization_id)
WHERE NOT day = ANY(%(attached)s::date[]) AND (%(day)s::date IS NULL OR day = %(day)s)
"""

# Days that are asked about together: so much of the ledger and the sums is less than a day of events.
TOGETHER = 16


def _check(extent: Extent) -> Finding:
    closed = ClosedDay.objects.exclude(closed_at=None).order_by("day")
    if extent.day:
        closed = closed.filter(day=extent.day)
    rows = list(closed)
    known = [*extent.event_days, *(row.day for row in rows)]
    others = look(UNPROVED, {"known": known, "day": extent.day}) + look(CONTIGUOUS, {"day": extent.day})
    others += look(LATE, {"attached": extent.event_days, "day": extent.day})
    portions = (rows[place : place + TOGETHER] for place in range(0, len(rows), TOGETHER))
    compared = together(finding for portion in portions for finding in _compare(portion, extent.event_days))
    return compared + Finding(0, others.wrong, others.offender)


def _compare(rows: list[ClosedDay], event_days: list[date]) -> Iterator[Finding]:
    days = [row.day for row in rows]
    ledger, sums = closing.charged_by_ledger(days), closing.hashes_of_sums(days)
    for row in rows:
        found = {"the ledger": ledger[row.day] == (row.charge_nanos, row.charges_hash)}
        found["the daily sums"] = sums[row.day] == row.sums_hash
        if row.day in event_days:
            kept = (row.events, row.charge_nanos, row.charges_hash)
            found["the events"] = closing.charged_by_events(row.day) == kept
        wrong = [what for what, same in found.items() if not same]
        told = f"{row.day}: not as it was closed any more: {', '.join(wrong)}" if wrong else ""
        yield Finding(1, int(bool(wrong)), told)


PROOFS = [
    Proof(
        "closed_days",
        "Every closed day has the usage and the sums that it was closed with, and late usage that is the same in both.",
        _check,
    ),
]
