"""Payments: what was paid at Stripe is in the ledger, once, and the other way round."""

from billing.proofs.shape import Proof, over_all

# Cents become nano-dollars here as billing.payments.currencies says; there are no top-ups in another currency.
TOP_UPS = """
SELECT CASE
    WHEN posted.id IS NULL THEN
        format('top-up %%s is paid (%%s), and the ledger has no transaction of it', paid.public_id, payment_intent)
    WHEN paid.id IS NULL THEN format('transaction %%s (%%s): no top-up was paid by that', posted.id, operation_key)
    WHEN paid.transaction_id IS DISTINCT FROM posted.id THEN
        format('top-up %%s names transaction %%s, and %%s is of its payment', paid.public_id, paid.transaction_id,
            posted.id)
    WHEN paid.organization_id <> posted.organization_id THEN
        format('top-up %%s was credited to organization %%s, not to %%s', paid.public_id, posted.organization_id,
            paid.organization_id)
    WHEN paid.currency <> 'usd' OR paid.nanos <> paid.amount * 10000000 OR paid.nanos <> posted.nanos THEN
        format('top-up %%s: %%s cents (%%s) were paid, %%s nano-dollars were to be credited, and %%s were',
            paid.public_id, paid.amount, paid.currency, paid.nanos, posted.nanos)
    END AS wrong
FROM (SELECT * FROM billing_topup WHERE state = 'paid') AS paid
FULL JOIN (
    SELECT made.id, operation_key, made.organization_id, (
        SELECT coalesce(-sum(amount_nanos), 0) FROM billing_ledgerentry
        WHERE transaction_id = made.id AND account = 'cash_stripe'
    ) AS nanos
    FROM billing_ledgertransaction AS made WHERE kind = 'top_up'
) AS posted ON posted.operation_key = 'top-up:' || paid.payment_intent
"""
CLAIM = "Each top-up that was paid is one transaction of the same amount, and each of those was paid."
PROOFS = [
    Proof(
        "top_ups",
        CLAIM,
        over_all(TOP_UPS),
    )
]
