"""Which ledger transactions a statement covers, and under which heading: the SQL that drawing and proving share.

A transaction gets its id under the lock of its organization's balance, so all up to an id are complete once that lock
was held. Statement n covers C(n) without C(n-1), where C(n) are those up to the id `last_transaction` and up to the
event day `through`. Both only grow, so each transaction is in one statement: the first that reaches it both ways. What
comes late for a day that was stated lands in the next.
"""

SECTION = """
CASE
    WHEN posted.kind = 'usage' AND posted.operation_key LIKE 'usage:%%' AND posted.event_day >= {first_day} THEN 'usage'
    WHEN posted.kind = 'usage' OR posted.kind = 'adjustment' AND posted.operation_key LIKE 'usage:%%' THEN 'late_usage'
    ELSE posted.kind
END
"""
"""The heading of a transaction, `posted`. Usage of the period's own days can be told by model and key, from the daily
sums: once a day is closed, what comes for it is an adjustment."""

AMOUNT = "sum(entry.amount_nanos) FILTER (WHERE entry.organization_id IS NOT NULL)::bigint"
"""What its entries, `entry`, moved as the customer sees it: credit is positive."""
