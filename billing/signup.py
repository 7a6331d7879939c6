"""The free starting balance of a new organization."""

from datetime import datetime

from django.conf import settings

from accounts.models import Organization
from billing import ledger
from billing.models import Account, CreditGrant, TransactionKind


def grant_starting_balance(organization: Organization, *, now: datetime) -> None:
    """Grant what SIGNUP_CREDIT names, once per organization, however often it is asked."""
    terms = ledger.GrantTerms(source=CreditGrant.Source.SIGN_UP, priority=10)
    movement = ledger.Movement(
        operation_key=f"sign-up:{organization.pk}",
        kind=TransactionKind.GRANT,
        organization_id=organization.pk,
        nanos=settings.SIGNUP_CREDIT_NANOS,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        grant=terms,
        reason="Free starting balance",
    )
    ledger.post([movement], now=now)
