"""What the ledger's rows say of each other: accounts, organizations, days, and grants that a transaction changed."""

from typing import Any

from billing.models import Account, TransactionKind
from billing.proofs.shape import Extent, Finding, Proof, look

# Which of our accounts a transaction may move money from or to. Late usage is an adjustment by kind, and revenue.
OURS: dict[str, tuple[Account, ...]] = {
    "late": (Account.REVENUE,),
    TransactionKind.USAGE: (Account.REVENUE,),
    TransactionKind.CORRECTION: (Account.REVENUE,),
    TransactionKind.GRANT: (Account.PROMOTIONS,),
    TransactionKind.ADJUSTMENT: (Account.PROMOTIONS,),
    TransactionKind.EXPIRY: (Account.BREAKAGE,),
    TransactionKind.FEE: (Account.FEES,),
    TransactionKind.TOP_UP: (Account.CASH_STRIPE,),
    TransactionKind.REFUND: (Account.CASH_STRIPE,),
    TransactionKind.DISPUTE: (Account.CASH_STRIPE,),
}
ENTRIES = """
SELECT CASE
    WHEN strays > 0 THEN format('%%s moves money of an account that isn''t its kind''s: %%s', what, stray)
    WHEN others > 0 THEN format('%%s has entries of another organization, day or moment than its own', what)
    WHEN corrected <> organization_id THEN format('%%s corrects one of organization %%s', what, corrected)
    WHEN least <> organization_id OR greatest <> organization_id THEN
        format('%%s burned a grant of another organization: %%s to %%s', what, least, greatest)
    WHEN owner <> organization_id THEN format('%%s brought a grant of organization %%s', what, owner)
    WHEN coalesce(granted, 0) - coalesce(burned, 0) <> coalesce(credit, 0) THEN
        format('%%s changed credit by %%s nano-dollars, granted %%s and burned %%s', what, coalesce(credit, 0),
            coalesce(granted, 0), coalesce(burned, 0))
    END AS wrong
FROM (
    SELECT posted.id, posted.organization_id,
        format('transaction %%s (%%s) of organization %%s', posted.id, posted.operation_key, posted.organization_id)
            AS what,
        corrected.organization_id AS corrected,
        sum(entry.amount_nanos) FILTER (WHERE account = 'customer_credit') AS credit,
        count(*) FILTER (WHERE entry.event_day <> posted.event_day OR entry.posted_at <> posted.posted_at
            OR entry.organization_id <> posted.organization_id) AS others,
        count(*) FILTER (WHERE entry.organization_id IS NULL AND NOT place.name || ':' || account = ANY(%(ours)s))
            AS strays,
        min(account) FILTER (WHERE entry.organization_id IS NULL AND NOT place.name || ':' || account = ANY(%(ours)s))
            AS stray
    FROM billing_ledgertransaction AS posted JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
    LEFT JOIN billing_ledgertransaction AS corrected ON corrected.id = posted.corrects_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN posted.kind = 'adjustment' AND posted.operation_key LIKE 'usage:%%' THEN 'late'
            ELSE posted.kind END AS name
    ) AS place
    WHERE %(day)s::date IS NULL OR posted.event_day = %(day)s
    GROUP BY posted.id, corrected.id
) AS moved
LEFT JOIN (
    SELECT burn.transaction_id AS id, sum(burn.amount_nanos) AS burned, min(organization_id) AS least,
        max(organization_id) AS greatest
    FROM billing_grantburn AS burn JOIN billing_creditgrant AS credit ON credit.id = burn.grant_id GROUP BY 1
) AS burns USING (id)
LEFT JOIN (
    SELECT transaction_id AS id, amount_nanos AS granted, organization_id AS owner FROM billing_creditgrant
) AS grants USING (id)
"""


def _check(extent: Extent) -> Finding:
    ours = [f"{kind}:{account}" for kind, accounts in OURS.items() for account in accounts]
    parameters: dict[str, Any] = {**extent.parameters, "ours": ours}
    return look(ENTRIES, parameters)


CLAIM = (
    "Every transaction moves money of the accounts of its kind, its entries are of its organization and day, and it"
    " changed credit by what it granted less what it burned."
)
PROOFS = [Proof("accounts", CLAIM, _check)]
