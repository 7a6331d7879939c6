"""Quarantined lines: one is resolved by its replay or by a person's word, and a replay has what it resolved."""

from billing.proofs.shape import Proof, over_all

RESOLVED = """
SELECT CASE
    WHEN resolved_at IS NULL AND replay_id IS NOT NULL THEN
        format('line %%s of segment %%s was replayed, and is open', line, segment_id)
    WHEN resolved_at IS NOT NULL AND replay_id IS NULL AND note = '' THEN
        format('line %%s of segment %%s is resolved by nothing: neither replayed nor discarded', line, segment_id)
    END AS wrong
FROM billing_quarantinedline
UNION ALL
SELECT CASE WHEN coalesce(resolved, 0) <> lines THEN
    format('segment %%s (%%s) is a replay with %%s lines, and resolved %%s', segment.id, identity, lines,
        coalesce(resolved, 0)) END
FROM billing_segment AS segment LEFT JOIN (
    SELECT replay_id, count(*) AS resolved FROM billing_quarantinedline WHERE replay_id IS NOT NULL GROUP BY 1
) AS lines_of ON replay_id = segment.id
WHERE (origin = 'replay' OR resolved IS NOT NULL) AND posted_at IS NOT NULL
"""
CLAIM = "Every quarantined line that is resolved was replayed or discarded, and every replay has the lines it resolved."
PROOFS = [Proof("quarantine", CLAIM, over_all(RESOLVED))]
