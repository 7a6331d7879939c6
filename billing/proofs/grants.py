"""Credit grants: what is left of them is the balance, and what was taken from each is recorded."""

from billing.proofs.shape import Proof, over_all

REMAINDERS = """
SELECT CASE WHEN least < 0 THEN format('organization %%s: a grant has %%s nano-dollars left', organization_id, least)
    WHEN coalesce(nanos, 0) <> coalesce(remaining, 0) - coalesce(debt_nanos, 0) THEN
    format('organization %%s: grants have %%s nano-dollars left, the debt is %%s, and the balance %%s', organization_id,
        coalesce(remaining, 0), coalesce(debt_nanos, 0), coalesce(nanos, 0)) END AS wrong
FROM billing_balance FULL JOIN (
    SELECT organization_id, sum(remaining_nanos) AS remaining, min(remaining_nanos) AS least
    FROM billing_creditgrant GROUP BY organization_id
) AS grants USING (organization_id)
"""
BURNS = """
SELECT CASE WHEN amount_nanos - remaining_nanos <> coalesce(burned, 0) THEN
    format('grant %%s of organization %%s: %%s of %%s nano-dollars are left, and %%s were burned', credit.id,
        organization_id, remaining_nanos, amount_nanos, coalesce(burned, 0)) END AS wrong
FROM billing_creditgrant AS credit
LEFT JOIN (SELECT grant_id, sum(amount_nanos) AS burned FROM billing_grantburn GROUP BY grant_id) AS burns
    ON burns.grant_id = credit.id
"""
PROOFS = [
    Proof(
        "grants",
        "What is left of an organization's grants, less its debt, is its balance; no grant is negative.",
        over_all(REMAINDERS),
    ),
    Proof("burns", "What is gone of a grant is what was recorded as burned.", over_all(BURNS)),
]
