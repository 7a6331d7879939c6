"""Every line that came in is accounted for, and none is missing between those that came."""

from datetime import timedelta

from billing.models import ClosedDay
from billing.proofs.shape import Extent, Finding, Proof, look

# A segment may be overtaken by the next; after this, what is missing between them is a gap.
PATIENCE = timedelta(minutes=15)

LINES = """
SELECT CASE WHEN lines <> new + duplicate + quarantined OR quarantined <> coalesce(kept, 0)
        OR new < coalesce(events, 0) OR (new <> coalesce(events, 0) AND NOT %(detached)s) THEN
    format('segment %%s (%%s): %%s lines are %%s new, %%s duplicate and %%s quarantined; there are %%s events and %%s'
        ' quarantined lines', segment.id, identity, lines, new, duplicate, quarantined, coalesce(events, 0),
        coalesce(kept, 0)) END AS wrong
FROM billing_segment AS segment
LEFT JOIN (SELECT segment_id, count(*) AS events FROM billing_usageevent GROUP BY 1) AS of_events
    ON of_events.segment_id = segment.id
LEFT JOIN (SELECT segment_id, count(*) AS kept FROM billing_quarantinedline GROUP BY 1) AS of_quarantine
    ON of_quarantine.segment_id = segment.id
WHERE posted_at IS NOT NULL AND (%(day)s::date IS NULL OR (received_at AT TIME ZONE 'UTC')::date = %(day)s)
"""
SEQUENCES = """
SELECT CASE
    WHEN first_seq > reached + 1 AND received_at < %(now)s::timestamptz - %(patience)s THEN
        format('%%s: numbers %%s to %%s are missing before segment %%s', source, reached + 1, first_seq - 1, identity)
    WHEN last_seq - first_seq + 1 > lines THEN
        format('%%s: segment %%s has %%s lines for the numbers %%s to %%s', source, identity, lines, first_seq,
            last_seq)
    END AS wrong
FROM (
    SELECT *, max(last_seq) OVER (
        PARTITION BY source ORDER BY first_seq, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS reached
    FROM billing_segment WHERE first_seq IS NOT NULL
) AS numbered
WHERE %(day)s::date IS NULL OR (received_at AT TIME ZONE 'UTC')::date = %(day)s
"""


def _lines(extent: Extent) -> Finding:
    """Once events are detached, a segment has fewer than it brought; the days' hashes prove those."""
    oldest = min(Extent.of(None, extent.now).event_days, default=extent.now.date())
    detached = ClosedDay.objects.filter(day__lt=oldest).exclude(events=0).exists()
    return look(LINES, {**extent.parameters, "detached": detached})


def _sequences(extent: Extent) -> Finding:
    return look(SEQUENCES, {**extent.parameters, "patience": PATIENCE})


PROOFS = [
    Proof("lines", "Every line of every segment is new, a duplicate or quarantined, and is where that says.", _lines),
    Proof("sequences", "No source has an unexplained gap in its numbers.", _sequences),
]
