"""Closed days are as they were closed, also when their events are gone."""

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


def _check(extent: Extent) -> Finding:
    closed = ClosedDay.objects.exclude(closed_at=None).order_by("day")
    if extent.day:
        closed = closed.filter(day=extent.day)
    known = [*extent.event_days, *closed.values_list("day", flat=True)]
    unproved = look(UNPROVED, {"known": known, "day": extent.day})
    compared = together(_compare(row, extent.event_days) for row in closed)
    return compared + Finding(0, unproved.wrong, unproved.offender)


def _compare(row: ClosedDay, event_days: list[date]) -> Finding:
    found = {"the ledger": closing.charged_by_ledger(row.day) == (row.charge_nanos, row.charges_hash)}
    found["the daily sums"] = closing.hash_of_sums(row.day) == row.sums_hash
    if row.day in event_days:
        kept = (row.events, row.charge_nanos, row.charges_hash)
        found["the events"] = closing.charged_by_events(row.day) == kept
    wrong = [what for what, same in found.items() if not same]
    told = f"{row.day}: not as it was closed any more: {', '.join(wrong)}" if wrong else ""
    return Finding(1, int(bool(wrong)), told)


PROOFS = [
    Proof("closed_days", "Every closed day has the usage and the sums that it was closed with.", _check),
]
