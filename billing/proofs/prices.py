"""Price versions: no two stand for the same time."""

from billing.proofs.shape import Proof, over_all

OVERLAPS = """
SELECT CASE WHEN count(*) > 1 THEN
    format('model %%s: %%s price versions begin at %%s, the first is %%s', model_id, count(*), effective_from, min(id))
    END AS wrong
FROM billing_priceversion WHERE superseded_at IS NULL GROUP BY model_id, price_list_id, effective_from
"""
PROOFS = [
    Proof("prices", "No two price versions of a model and a list are in force for the same time.", over_all(OVERLAPS))
]
