"""Nothing is stuck: usage is posted, and Valkey is told."""

from datetime import timedelta

from billing.proofs.shape import Extent, Finding, Proof, look

PATIENCE = timedelta(minutes=15)

STUCK = """
SELECT CASE WHEN since < %(now)s::timestamptz - %(patience)s THEN
    format('%%s has waited since %%s', what, since) END AS wrong
FROM (
    SELECT format('segment %%s (%%s)', id, identity) AS what, received_at AS since FROM billing_segment
    WHERE posted_at IS NULL
    UNION ALL
    SELECT format('what Valkey is to be told, entry %%s', id), created_at FROM hotstate_outboxentry
) AS waiting
"""


def _stuck(extent: Extent) -> Finding:
    return look(STUCK, {"now": extent.now, "patience": PATIENCE})


PROOFS = [Proof("nothing_stuck", "No segment waits to be posted, and nothing waits to be told to Valkey.", _stuck)]
