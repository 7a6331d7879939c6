"""Staff correct a balance by hand, with a reason."""

from datetime import datetime

from django.db import transaction

from accounts.models import Organization, User, audit
from billing import ledger
from billing.models import Account, Balance, CreditGrant, LedgerTransaction, TransactionKind


def adjust_balance(
    organization: Organization, nanos: int, *, reason: str, actor: User, now: datetime, operation_id: str
) -> LedgerTransaction:
    """Add (or, negative, take) nano-dollars. The same `operation_id` adjusts once.

    Raises ValueError for zero, and ledger.BalanceTooLarge.
    """
    if nanos == 0:
        raise ValueError("an adjustment moves something")
    operation_key = f"adjustment:{operation_id}"
    movement = ledger.Movement(
        operation_key=operation_key,
        kind=TransactionKind.ADJUSTMENT,
        organization_id=organization.pk,
        nanos=nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        grant=ledger.GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20),
        reason=reason,
        actor_id=actor.pk,
    )
    with transaction.atomic():
        posted = ledger.post([movement], now=now)
        if operation_key in posted.transactions:
            after = {"nanos": nanos, "balance_nanos": Balance.objects.get(organization=organization).nanos}
            audit.record(
                "balance.adjust",
                organization.public_id,
                actor=actor,
                organization=organization,
                after=after,
                reason=reason,
                now=now,
            )
        return LedgerTransaction.objects.get(operation_key=operation_key)
