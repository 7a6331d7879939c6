"""Credit that has expired is taken back, to breakage. Until then it burns, and counts as balance, like any other."""

from datetime import datetime

from django.db import transaction

from billing import ledger
from billing.models import Account, CreditGrant, TransactionKind

BATCH = 500


def expire_grants(until: datetime, *, now: datetime | None = None) -> int:
    """Take what is left of grants that had expired by `until`; return of how many. Again, it does nothing twice.

    All usage until then has been posted, or its charge wouldn't find the credit that was good when it was made.
    """
    now = now or until
    expired = CreditGrant.objects.filter(expires_at__lte=until, remaining_nanos__gt=0)
    done = last = 0
    while batch := list(expired.filter(pk__gt=last).order_by("id").values_list("pk", "organization_id")[:BATCH]):
        with transaction.atomic():
            ledger.lock(organization_id for _, organization_id in batch)
            # As they are now that nobody else can change them.
            locked = expired.filter(pk__in=[pk for pk, _ in batch])
            ledger.post([_taken_back(grant, now) for grant in locked.order_by("id")], now=now)
        done += len(batch)
        last = batch[-1][0]
    return done


def _taken_back(grant: CreditGrant, now: datetime) -> ledger.Movement:
    return ledger.Movement(
        operation_key=f"expiry:{grant.pk}",
        kind=TransactionKind.EXPIRY,
        organization_id=grant.organization_id,
        nanos=-grant.remaining_nanos,
        counter=Account.BREAKAGE,
        event_day=now.date(),
        reason=f"{grant.get_source_display()} expired",
        from_grant_id=grant.pk,
    )
