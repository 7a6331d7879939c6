"""The ledger in itself: transactions sum to zero, balances are the sum of their entries."""

from billing.proofs.shape import Proof, over_all

TRANSACTIONS = """
SELECT CASE WHEN coalesce(sum(entry.amount_nanos), 0) <> 0 OR count(entry.id) < 2 THEN
    format('transaction %%s (%%s): %%s entries sum to %%s', posted.id, posted.operation_key, count(entry.id),
        coalesce(sum(entry.amount_nanos), 0)) END AS wrong
FROM billing_ledgertransaction AS posted LEFT JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
WHERE %(day)s::date IS NULL OR posted.event_day = %(day)s
GROUP BY posted.id
"""
BALANCES = """
SELECT CASE WHEN coalesce(credit_nanos, 0) <> coalesce(credit, 0) OR coalesce(debt_nanos, 0) <> coalesce(debt, 0) THEN
    format('organization %%s: balance has credit %%s and debt %%s, entries %%s and %%s', organization_id,
        coalesce(credit_nanos, 0), coalesce(debt_nanos, 0), coalesce(credit, 0), coalesce(debt, 0)) END AS wrong
FROM billing_balance FULL JOIN (
    SELECT organization_id, sum(amount_nanos) FILTER (WHERE account = 'customer_credit') AS credit,
        -sum(amount_nanos) FILTER (WHERE account = 'receivable') AS debt
    FROM billing_ledgerentry WHERE organization_id IS NOT NULL GROUP BY organization_id
) AS entries USING (organization_id)
"""
PROOFS = [
    Proof(
        "transactions",
        "Every ledger transaction has at least two entries, and they sum to zero.",
        over_all(TRANSACTIONS),
    ),
    Proof("balances", "Every balance is the sum of its ledger entries.", over_all(BALANCES)),
]
