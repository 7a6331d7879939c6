"""Nothing is stuck: usage is posted, Valkey is told, days are closed, runs end, and expired credit is taken back."""

from datetime import timedelta

from billing.closing import OVERDUE
from billing.models import ClosedDay, DailyUsage
from billing.proofs.shape import Extent, Finding, Proof, look

SOON = timedelta(minutes=15)
# What workers do by portions, and go on with when they were killed.
RUNS = timedelta(hours=2)
# The nights come every few minutes, and take a while.
NIGHT = timedelta(hours=1)

STUCK = """
SELECT CASE WHEN since < %(now)s::timestamptz - patience THEN
    format('%%s has waited since %%s', what, since) END AS wrong
FROM (
    SELECT format('segment %%s (%%s)', id, identity) AS what, received_at AS since, %(soon)s::interval AS patience
    FROM billing_segment WHERE posted_at IS NULL
    UNION ALL
    SELECT format('what Valkey is to be told, entry %%s', id), created_at, %(soon)s FROM hotstate_outboxentry
    UNION ALL
    SELECT format('%%s, which is over, to be closed', day), (day + 1)::timestamp AT TIME ZONE 'UTC', %(closing)s
    FROM unnest(%(open)s::date[]) AS open (day)
    UNION ALL
    SELECT format('run %%s of the proofs', id), coalesce(started_at, asked_at), %(runs)s FROM billing_proofrun
    WHERE finished_at IS NULL
    UNION ALL
    SELECT format('run %%s of the quarantine', id), started_at, %(runs)s FROM billing_quarantinerun
    WHERE finished_at IS NULL
    UNION ALL
    SELECT format('grant %%s, which has expired, to be taken back', id),
        (date_trunc('day', expires_at, 'UTC') + interval '24 hours'), %(closing)s + %(night)s
    FROM billing_creditgrant WHERE remaining_nanos > 0 AND expires_at IS NOT NULL
) AS waiting
"""


def _stuck(extent: Extent) -> Finding:
    closed = ClosedDay.objects.exclude(closed_at=None).filter(day__in=extent.event_days)
    patience = {"soon": SOON, "runs": RUNS, "night": NIGHT, "closing": OVERDUE + NIGHT}
    # Nobody misses the closing of a day without usage, such as those before the first night.
    used = set(DailyUsage.objects.filter(day__in=extent.event_days).values_list("day", flat=True))
    days = sorted(used - set(closed.values_list("day", flat=True)))
    return look(STUCK, {"now": extent.now, "open": days, **patience})


CLAIM = (
    "No segment waits to be posted, nothing to be told to Valkey, no day to be closed, no run to end, and no credit"
    " that has expired to be taken back."
)
PROOFS = [Proof("nothing_stuck", CLAIM, _stuck)]
