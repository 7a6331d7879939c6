"""Every line that came in is accounted for, and none is missing between those that came."""

from datetime import timedelta

from billing.models import ClosedDay
from billing.proofs.shape import Extent, Finding, Proof, look

# A segment may be overtaken by the next; after this, what is missing between them is a gap.
PATIENCE = timedelta(minutes=15)

LINES = """
SELECT CASE WHEN lines <> new + duplicate + quarantined OR quarantined <> coalesce(kept, 0)
        OR new <> (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(new_by_day))
        OR new_by_day - %(detached)s::text[] <> coalesce(events, '{}') THEN
    format('segment %%s (%%s): %%s lines are %%s new (%%s), %%s duplicate and %%s quarantined; there are events (%%s)'
        ' and %%s quarantined lines', segment.id, identity, lines, new, new_by_day, duplicate, quarantined,
        coalesce(events, '{}'), coalesce(kept, 0)) END AS wrong
FROM billing_segment AS segment
LEFT JOIN (
    SELECT segment_id, jsonb_object_agg(day, events) AS events FROM (
        SELECT segment_id, (time AT TIME ZONE 'UTC')::date AS day, count(*) AS events
        FROM billing_usageevent GROUP BY 1, 2
    ) AS by_day GROUP BY 1
) AS of_events ON of_events.segment_id = segment.id
LEFT JOIN (SELECT segment_id, sum(lines) AS kept FROM billing_quarantinedline GROUP BY 1) AS of_quarantine
    ON of_quarantine.segment_id = segment.id
WHERE posted_at IS NOT NULL AND (%(day)s::date IS NULL OR (received_at AT TIME ZONE 'UTC')::date = %(day)s)
"""
# What no events can show any more.
DETACHED = """
SELECT CASE WHEN brought <> coalesce(summed, 0) THEN
    format('%%s, whose events are detached: segments brought %%s, and %%s are in the daily sums', day, brought,
        coalesce(summed, 0)) END AS wrong
FROM (
    SELECT key AS day, sum(value::bigint) AS brought FROM billing_segment CROSS JOIN jsonb_each_text(new_by_day)
    WHERE new_by_day ?| %(detached)s::text[] GROUP BY 1
) AS of_segments
LEFT JOIN (
    SELECT day::text, sum(events) AS summed FROM billing_dailyusage WHERE kind <> 'correction' GROUP BY 1
) AS of_sums USING (day)
WHERE day = ANY(%(detached)s::text[]) AND (%(day)s::date IS NULL OR day::date = %(day)s)
"""
# Of each source: all numbers up to the highest that came some time ago, less what came and what a person explained.
SEQUENCES = """
SELECT CASE WHEN NOT isempty(missing) THEN
    format('%%s: numbers missing, the first %%s to %%s', source, lower(missing), upper(missing) - 1)
    END AS wrong
FROM (
    SELECT due.source, (SELECT lower_one FROM unnest(
        int8multirange(int8range(1, coalesce(due.reached, 0) + 1)) - came.numbers
            - coalesce(explained.numbers, int8multirange())
    ) WITH ORDINALITY AS hole (lower_one, place) ORDER BY place LIMIT 1) AS missing
    FROM (
        SELECT source,
            max(last_seq) FILTER (WHERE received_at < %(now)s::timestamptz - %(patience)s) AS reached
        FROM billing_segment WHERE last_seq IS NOT NULL
        GROUP BY source
        HAVING %(day)s::date IS NULL OR bool_or((received_at AT TIME ZONE 'UTC')::date = %(day)s)
    ) AS due
    JOIN (
        SELECT source, range_agg(int8range(seq_ranges[place], seq_ranges[place + 1], '[]')) AS numbers
        FROM billing_segment, generate_series(1, cardinality(seq_ranges), 2) AS place
        GROUP BY source
    ) AS came ON came.source = due.source
    LEFT JOIN (
        SELECT name, range_agg(int8range(first, last, '[]')) AS numbers
        FROM billing_sequencegap JOIN billing_usagesource AS source ON source.id = source_id
        WHERE explained_at IS NOT NULL AND filled_at IS NULL
        GROUP BY name
    ) AS explained ON explained.name = due.source
) AS by_source
"""


def _lines(extent: Extent) -> Finding:
    """Of days whose events are detached, segments are held to the sums, which the days' hashes prove."""
    attached = Extent.of(None, extent.now).event_days
    closed = ClosedDay.objects.exclude(closed_at=None).exclude(day__in=attached)
    parameters = {**extent.parameters, "detached": [str(day) for day in closed.values_list("day", flat=True)]}
    of_days = look(DETACHED, parameters)
    return look(LINES, parameters) + Finding(0, of_days.wrong, of_days.offender)


def _sequences(extent: Extent) -> Finding:
    return look(SEQUENCES, {**extent.parameters, "patience": PATIENCE})


PROOFS = [
    Proof("lines", "Every line of every segment is new, a duplicate or quarantined, and is where that says.", _lines),
    Proof("sequences", "No source has an unexplained gap in its numbers.", _sequences),
]
