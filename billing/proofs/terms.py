"""Terms: events were priced by what their organization bought at, and gateways are told what the books have."""

from billing.proofs.shape import Extent, Finding, Proof, by_event_day, look
from billing.terms import KEPT, MOST_KEPT

# Of those that start together the last one counts.
_HISTORY = """
SELECT *, lead(effective_from) OVER (PARTITION BY organization_id ORDER BY effective_from) AS ends,
    row_number() OVER (PARTITION BY organization_id ORDER BY effective_from DESC) AS place
FROM (
    SELECT DISTINCT ON (organization_id, effective_from) * FROM billing_organizationterms
    ORDER BY organization_id, effective_from, id DESC
) AS last_words
"""
# When versions have another price, in minutes since Monday, and the multiplier.
_OFF_PEAK = """
SELECT version.id AS version_id, day::bigint * 1440 + begins AS begins, mod(ends - begins + 1439, 1440) + 1 AS lasts,
    (clock->>'basis_points')::integer AS points
FROM billing_priceversion AS version
CROSS JOIN LATERAL jsonb_array_elements(off_peak) AS clock
CROSS JOIN LATERAL jsonb_array_elements_text(clock->'days') AS day
CROSS JOIN LATERAL (
    SELECT split_part(clock->>'from', ':', 1)::bigint * 60 + split_part(clock->>'from', ':', 2)::bigint AS begins,
        split_part(clock->>'to', ':', 1)::bigint * 60 + split_part(clock->>'to', ':', 2)::bigint AS ends
) AS minutes
"""
# Events that nothing distinguishes: no terms, version or turn begins between two of them, and they are of the same
# off-peak time.
_USED = f"""
SELECT event.organization_id, event.model_id, event.price_version_id, event.multipliers, version.price_list_id,
    points, own_price_list_id, plan_price_list_id, coalesce(own_discount_bp, plan_discount_bp, 0) AS discount,
    min(time) AS first, min(number) AS number
FROM billing_usageevent AS event
JOIN (SELECT id, coalesce(number, 9223372036854775807) AS number FROM billing_segment) AS segment
    ON segment.id = event.segment_id
JOIN billing_priceversion AS version ON version.id = event.price_version_id
LEFT JOIN (
    SELECT * FROM ({_HISTORY}) AS history
    WHERE effective_from < %(next_midnight)s AND (ends IS NULL OR ends > %(midnight)s)
) AS terms ON terms.organization_id = event.organization_id AND terms.effective_from <= time
    AND (ends IS NULL OR time < ends)
-- 1970 began on a Thursday.
LEFT JOIN ({_OFF_PEAK}) AS off_peak_time ON version_id = event.price_version_id
    AND mod(floor(extract(epoch FROM time) / 60)::bigint + 3 * 1440 - begins + 10080, 10080) < lasts
LEFT JOIN (
    SELECT model_id, array_agg(DISTINCT effective_from ORDER BY effective_from) AS starts FROM billing_priceversion
    WHERE effective_from > %(midnight)s AND effective_from < %(next_midnight)s GROUP BY 1
) AS began ON began.model_id = event.model_id
CROSS JOIN (
    SELECT coalesce(array_agg(DISTINCT turn ORDER BY turn), '{{}}') AS numbers
    FROM billing_priceversion CROSS JOIN unnest(ARRAY[since_number, until_number]) AS turn WHERE turn IS NOT NULL
) AS turns
WHERE event.id >= %(first)s AND event.id < %(end)s
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, terms.id, width_bucket(time, starts), width_bucket(number, turns.numbers)
"""  # noqa: S608  (names of ours)
# The nearest list that had a price then, as the posting saw it: the organization's own, its plan's, the public one.
_NEAREST = """
SELECT list FROM unnest(ARRAY[own_price_list_id, plan_price_list_id, NULL]) WITH ORDINALITY AS near (list, place)
CROSS JOIN LATERAL (
    SELECT id FROM billing_priceversion AS version
    WHERE version.model_id = used.model_id AND version.price_list_id IS NOT DISTINCT FROM list
        AND effective_from <= first AND coalesce(since_number, 0) <= number
        AND (superseded_at IS NULL OR coalesce(until_number, 0) > number)
    ORDER BY effective_from DESC LIMIT 1
) AS begun
WHERE CASE WHEN place = 3 THEN true ELSE
    list IS NOT NULL AND EXISTS (SELECT FROM billing_price WHERE version_id = begun.id) END
ORDER BY place LIMIT 1
"""
PRICED = f"""
SELECT CASE
    WHEN price_list_id IS DISTINCT FROM nearest.list THEN
        format('%%s the prices of list %%s, and by the terms of then it is list %%s', what,
            coalesce(price_list_id::text, 'public'), coalesce(nearest.list::text, 'public'))
    WHEN used.multipliers <> due.multipliers THEN
        format('%%s the multipliers %%s, and by the terms and the time of then they are %%s', what,
            used.multipliers, due.multipliers)
    END AS wrong
FROM (
    SELECT *, format('events of organization %%s and model %%s from %%s have', organization_id, model_id, first) AS what
    FROM ({_USED}) AS grouped
) AS used
JOIN LATERAL ({_NEAREST}) AS nearest ON true
CROSS JOIN LATERAL (
    SELECT array_remove(ARRAY[
        CASE WHEN price_list_id IS NULL AND discount <> 0 THEN 10000 - discount END, points
    ], NULL) AS multipliers
) AS due
"""  # noqa: S608  (names of ours)
TOLD = f"""
SELECT CASE
    WHEN history.id IS NULL THEN format('%%s terms that the books don''t have', what)
    WHEN told IS NULL AND history.place <= %(most)s AND (ends IS NULL OR ends > %(now)s::timestamptz - %(kept)s) THEN
        format('%%s no terms from %%s on', what, effective_from)
    WHEN told <> kept THEN format('%%s %%s, and the books %%s', what, told, kept)
    END AS wrong
FROM (
    SELECT id, organization_id, place, effective_from, ends, jsonb_build_object(
        'effective_ms', floor(extract(epoch FROM effective_from) * 1000), 'own_list', own_price_list_id,
        'own_discount_bp', own_discount_bp, 'plan_list', plan_price_list_id, 'plan_discount_bp', plan_discount_bp,
        'models', ARRAY(SELECT DISTINCT unnest(allowed_models) ORDER BY 1)
    ) AS kept FROM ({_HISTORY}) AS history
) AS history
FULL JOIN (
    SELECT organization.id AS organization_id,
        row_number() OVER (PARTITION BY organization.id ORDER BY at DESC) AS place,
        jsonb_build_object(
            'effective_ms', one.terms->'effective_ms', 'own_list', one.terms->'own_list',
            'own_discount_bp', one.terms->'own_discount_bp', 'plan_list', one.terms->'plan_list',
            'plan_discount_bp', one.terms->'plan_discount_bp',
            'models', ARRAY(SELECT DISTINCT jsonb_array_elements_text(one.terms->'models') ORDER BY 1)
        ) AS told
    FROM accounts_organization AS organization
    CROSS JOIN jsonb_array_elements(organization.terms) WITH ORDINALITY AS one (terms, at)
) AS given USING (organization_id, place)
CROSS JOIN LATERAL (SELECT format('gateways are given for organization %%s', organization_id) AS what) AS words
"""  # noqa: S608  (names of ours)


def _told(extent: Extent) -> Finding:
    return look(TOLD, {"now": extent.now, "kept": KEPT, "most": MOST_KEPT})


PROOFS = [
    Proof(
        "priced_by_terms",
        "Every event has the price list, discount and off-peak times that its organization's terms gave it then.",
        by_event_day(PRICED),
    ),
    Proof("terms", "What gateways are told of organizations' terms is what the books have.", _told),
]
