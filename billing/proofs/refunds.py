"""Money that went back: each refund and each dispute is in the ledger, once, and the other way round."""

from datetime import timedelta

from billing.proofs.shape import Extent, Finding, Proof, look, over_all

# What each row took and gave back should be, against what the ledger has of that kind. `cash` is what came to Stripe.
_BACK = """
SELECT CASE
    WHEN posted.id IS NULL THEN
        format('%%s names transaction %%s, and the ledger has none such of kind %(kind)s', name, transaction_id)
    WHEN wanted.name IS NULL THEN format('transaction %%s (%%s): no %(kind)s moved that', posted.id, operation_key)
    WHEN wanted.key <> operation_key THEN
        format('%%s names transaction %%s (%%s), not that of %%s', name, posted.id, operation_key, wanted.key)
    WHEN wanted.organization_id <> posted.organization_id THEN
        format('%%s is of organization %%s, and its transaction %%s of %%s', name, wanted.organization_id, posted.id,
            posted.organization_id)
    WHEN abs(wanted.nanos) <> wanted.amount * 10000000 OR wanted.nanos <> posted.nanos THEN
        format('%%s: %%s cents, %%s nano-dollars, and the ledger moved %%s', name, wanted.amount, wanted.nanos,
            posted.nanos)
    WHEN wanted.organization_id <> wanted.payer THEN
        format('%%s is of organization %%s, and its top-up of %%s', name, wanted.organization_id, wanted.payer)
    END AS wrong
FROM (%(wanted)s) AS wanted
FULL JOIN (
    SELECT made.id, operation_key, made.organization_id, (
        SELECT coalesce(sum(amount_nanos), 0) FROM billing_ledgerentry
        WHERE transaction_id = made.id AND account = 'cash_stripe'
    ) AS nanos
    FROM billing_ledgertransaction AS made WHERE kind = '%(kind)s'
) AS posted ON posted.id = wanted.transaction_id
"""
_ROW = """
SELECT format('{kind} %%s', back.public_id) AS name, back.{column} AS transaction_id, {key} AS key,
    back.organization_id, back.amount, {sign}back.nanos AS nanos, paid.organization_id AS payer
FROM billing_{kind} AS back LEFT JOIN billing_topup AS paid ON paid.id = back.top_up_id WHERE back.{column} IS NOT NULL
"""
# A dispute that moved nothing may be an inquiry, or open, or won before anything was taken. What is won is given back,
# and what is lost may be taken, a moment later: until then it is looked at again.
LOST_PATIENCE = timedelta(days=7)
_UNMOVED = """
SELECT CASE
    WHEN status = 'lost' AND withdrawn_id IS NULL
            AND coalesce(closed_at, opened_at) < %(now)s::timestamptz - %(patience)s THEN
        format('dispute %%s (%%s) is lost, and no transaction took it from the balance', public_id, stripe_id)
    WHEN status = 'won' AND withdrawn_id IS NOT NULL AND look_at IS NULL THEN
        format('dispute %%s (%%s) is won, and no transaction gave back what transaction %%s took', public_id, stripe_id,
            withdrawn_id)
    END AS wrong
FROM billing_dispute WHERE reinstated_id IS NULL
"""


def _sql(kind: str, taken: str, given_back: str, name: str) -> str:
    rows = [
        _ROW.format(kind=kind, column=taken, sign="", key=f"'{kind}:' || back.{name}"),
        _ROW.format(kind=kind, column=given_back, sign="-", key=f"'{kind}-back:' || back.{name}"),
    ]
    return _BACK.replace("%(kind)s", kind).replace("%(wanted)s", " UNION ALL ".join(rows))


REFUNDS = _sql("refund", "transaction_id", "returned_id", "public_id")
DISPUTES = _sql("dispute", "withdrawn_id", "reinstated_id", "stripe_id") + f" UNION ALL {_UNMOVED}"


def _disputes(extent: Extent) -> Finding:
    return look(DISPUTES, {"now": extent.now, "patience": LOST_PATIENCE})


PROOFS = [
    Proof(
        "refunds",
        "Each refund took its amount from the balance by one transaction, and if it failed gave it back by another.",
        over_all(REFUNDS),
    ),
    Proof(
        "disputes",
        "Each dispute took what the bank took by one transaction, each lost one did within a week, and what was won was"
        " given back by another.",
        _disputes,
    ),
]
