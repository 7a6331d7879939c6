"""Price versions: no two stand for the same time, and events were charged by those of theirs."""

from billing.proofs.shape import Proof, by_event_day, over_all

OVERLAPS = """
SELECT CASE WHEN count(*) > 1 THEN
    format('model %%s: %%s price versions begin at %%s, the first is %%s', model_id, count(*), effective_from, min(id))
    END AS wrong
FROM billing_priceversion WHERE superseded_at IS NULL GROUP BY model_id, price_list_id, effective_from
"""
# As the posting of that number saw the versions: what is superseded for a time that was over is by a turn of its own.
_STOOD = (
    "coalesce({0}.since_number, 0) <= number AND ({0}.superseded_at IS NULL OR coalesce({0}.until_number, 0) > number)"
)
IN_FORCE = f"""
SELECT CASE
    WHEN version.id IS NULL THEN format('%%s, which isn''t there', what)
    WHEN version.model_id <> used.model_id THEN format('%%s, which is one of model %%s', what, version.model_id)
    WHEN version.effective_from > first THEN format('%%s, which begins at %%s', what, version.effective_from)
    WHEN NOT ({_STOOD.format("version")}) THEN format('%%s, which was superseded', what)
    WHEN EXISTS (
        SELECT FROM billing_priceversion AS later
        WHERE later.model_id = version.model_id AND later.price_list_id IS NOT DISTINCT FROM version.price_list_id
            AND later.effective_from > version.effective_from AND later.effective_from <= last
            AND {_STOOD.format("later")}
    ) THEN format('%%s, and a later version was in force by %%s', what, last)
    END AS wrong
FROM (
    SELECT *, format('segment %%s: events of model %%s from %%s name price version %%s', segment_id, model_id, first,
        coalesce(price_version_id, 0)) AS what
    FROM (
        SELECT segment_id, model_id, price_version_id, min(time) AS first, max(time) AS last
        FROM billing_usageevent WHERE id >= %(first)s AND id < %(end)s GROUP BY 1, 2, 3
    ) AS grouped
) AS used
JOIN (SELECT id, coalesce(number, 9223372036854775807) AS number FROM billing_segment) AS segment
    ON segment.id = segment_id
LEFT JOIN billing_priceversion AS version ON version.id = price_version_id
"""  # noqa: S608  (names of ours)
PROOFS = [
    Proof("prices", "No two price versions of a model and a list are in force for the same time.", over_all(OVERLAPS)),
    Proof(
        "prices_in_force",
        "Every event was charged by a price version of its model that was in force at its time.",
        by_event_day(IN_FORCE),
    ),
]
