"""Plans: none is overdue, and each period was paid once, as its version says, and follows the last."""

from datetime import timedelta

from billing.proofs.shape import Extent, Finding, Proof, look, over_all

# Renewals are tried every few minutes. What can't be paid is due again by night.
PATIENCE = timedelta(hours=1)

OVERDUE = """
SELECT CASE WHEN due_at < %(now)s::timestamptz - %(patience)s THEN
    format('subscription %%s of organization %%s has been due since %%s', id, organization_id, due_at) END AS wrong
FROM billing_subscription WHERE ended_at IS NULL
"""
PERIODS = """
SELECT CASE
    WHEN paid.number > 1 AND last.id IS NULL THEN format('%%s: there is none before it', what)
    WHEN starts_at < last_end THEN format('%%s begins at %%s, before the last one ends', what, starts_at)
    WHEN fee_nanos <> coalesce(-fee.nanos, 0) THEN
        format('%%s: the fee is %%s nano-dollars, and %%s were paid', what, fee_nanos, coalesce(-fee.nanos, 0))
    WHEN included_credit_nanos <> coalesce(credit.nanos, 0) THEN
        format('%%s: %%s nano-dollars are included, and %%s were granted', what, included_credit_nanos,
            coalesce(credit.nanos, 0))
    END AS wrong
FROM (
    SELECT *, format('period %%s of subscription %%s', number, subscription_id) AS what
    FROM billing_subscriptionperiod
) AS paid
JOIN billing_planversion AS version ON version.id = paid.version_id
LEFT JOIN LATERAL (
    SELECT id, coalesce(cut_at, ends_at) AS last_end FROM billing_subscriptionperiod AS before
    WHERE before.subscription_id = paid.subscription_id AND before.number = paid.number - 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT sum(amount_nanos) AS nanos FROM billing_ledgerentry
    WHERE transaction_id = paid.fee_id AND organization_id IS NOT NULL
) AS fee ON true
LEFT JOIN LATERAL (
    SELECT sum(amount_nanos) AS nanos FROM billing_ledgerentry
    WHERE transaction_id = paid.credit_id AND organization_id IS NOT NULL
) AS credit ON true
UNION ALL
SELECT CASE WHEN paid.id IS NULL THEN
    format('subscription %%s: there is no period %%s until %%s, which it says is paid', own.id, own.number,
        period_ends_at) END
FROM billing_subscription AS own LEFT JOIN billing_subscriptionperiod AS paid
    ON paid.subscription_id = own.id AND paid.number = own.number AND paid.ends_at = own.period_ends_at
"""


def _overdue(extent: Extent) -> Finding:
    return look(OVERDUE, {"now": extent.now, "patience": PATIENCE})


DUE = "No plan is overdue: one whose period is over was renewed, has ended, or is tried again by night."
ONCE = "Each period of a plan was paid once, and begins no sooner than the last one ended."
PROOFS = [Proof("plans_due", DUE, _overdue), Proof("plan_periods", ONCE, over_all(PERIODS))]
