"""Promotion codes: each redemption is one transaction of the code's amount, and each is counted."""

from billing.proofs.shape import Proof, over_all

PROMOTIONS = """
SELECT CASE
    WHEN redemption.id IS NULL THEN format('transaction %%s (%%s): nobody redeemed that', posted.id, operation_key)
    WHEN posted.id IS NULL OR operation_key <> format('promotion:%%s:%%s', code_id, redemption.organization_id) THEN
        format('code %%s, redeemed by organization %%s, names transaction %%s (%%s)', code.code,
            redemption.organization_id, redemption.transaction_id, operation_key)
    WHEN posted.nanos <> code.nanos THEN
        format('code %%s gives %%s nano-dollars, and organization %%s got %%s', code.code, code.nanos,
            redemption.organization_id, posted.nanos)
    WHEN code.uses <> code.counted THEN
        format('code %%s was used %%s times, and redeemed %%s times', code.code, code.uses, code.counted)
    END AS wrong
FROM billing_promotionredemption AS redemption
JOIN (
    SELECT *, (SELECT count(*) FROM billing_promotionredemption WHERE code_id = each.id) AS counted
    FROM billing_promotioncode AS each
) AS code ON code.id = redemption.code_id
FULL JOIN (
    SELECT made.id, operation_key, (
        SELECT coalesce(-sum(amount_nanos), 0) FROM billing_ledgerentry
        WHERE transaction_id = made.id AND account = 'promotions'
    ) AS nanos
    FROM billing_ledgertransaction AS made WHERE operation_key LIKE 'promotion:%%'
) AS posted ON posted.id = redemption.transaction_id
"""
CLAIM = "Each code that an organization redeemed is one transaction of its amount, and each code counts them."
PROOFS = [Proof("promotions", CLAIM, over_all(PROMOTIONS))]
