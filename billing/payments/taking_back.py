"""What a refund or a dispute takes from a balance, and gives back when it comes to nothing."""

from datetime import datetime

from billing import ledger
from billing.models import Account, CreditGrant, TopUp, TransactionKind
from billing.payments.settling import PRIORITY


def taken(
    operation_key: str,
    kind: TransactionKind,
    top_up: TopUp,
    nanos: int,
    *,
    reason: str,
    actor_id: int | None,
    now: datetime,
) -> ledger.Movement:
    """Take what is left of the top-up's own credit first, then other credit; what there isn't is a debt.

    The caller holds `payers.locked`.
    """
    grant = top_up.transaction.grant if top_up.transaction else None
    return ledger.Movement(
        operation_key=operation_key,
        kind=kind,
        organization_id=top_up.organization_id,
        nanos=-nanos,
        counter=Account.CASH_STRIPE,
        event_day=now.date(),
        reason=reason[:300],
        actor_id=actor_id,
        from_grant_id=grant.pk if grant else None,
        from_grant_nanos=min(nanos, grant.remaining_nanos) if grant else None,
    )


def given_back(
    operation_key: str, kind: TransactionKind, top_up: TopUp, nanos: int, *, takes: int, reason: str, now: datetime
) -> ledger.Movement:
    """Undo what was taken by the ledger transaction `takes`: to the same grants, after debts."""
    return ledger.Movement(
        operation_key=operation_key,
        kind=kind,
        organization_id=top_up.organization_id,
        nanos=nanos,
        counter=Account.CASH_STRIPE,
        event_day=now.date(),
        grant=ledger.GrantTerms(source=CreditGrant.Source.TOP_UP, priority=PRIORITY),
        reason=reason[:300],
        corrects_id=takes,
    )
