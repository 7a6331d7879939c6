"""The movements of a plan: fees and what goes back of them, included credit and what is taken back of it.

Operation keys are made of the subscription and the number of the period, so each happens once.
"""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from billing.ledger import GrantTerms, Movement
from billing.models import Account, CreditGrant, PlanVersion, Subscription, SubscriptionPeriod, TransactionKind
from billing.plans.proration import Rest
from billing.plans.quoting import grant_of

# Before all other credit: it is the first to expire.
PRIORITY = 5
REFUND = GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20)
# Credit that had rolled over stays so long when the plan ends.
KEPT_AFTER = timedelta(days=30)


def key(subscription: Subscription, number: int, what: str) -> str:
    return f"plan:{subscription.pk}:{number}:{what}"


def begin(
    subscription: Subscription, number: int, version: PlanVersion, *, expires_at: datetime | None, now: datetime
) -> list[Movement]:
    """The fee of a period, and the credit that it includes."""
    fee = Movement(
        operation_key=key(subscription, number, "fee"),
        kind=TransactionKind.FEE,
        organization_id=subscription.organization_id,
        nanos=-version.fee_nanos,
        counter=Account.FEES,
        event_day=now.date(),
        reason=f"{version.plan.name}, {version.get_period_display().lower()}",
        sparing=CreditGrant.Source.PLAN,
    )
    credit = Movement(
        operation_key=key(subscription, number, "credit"),
        kind=TransactionKind.GRANT,
        organization_id=subscription.organization_id,
        nanos=version.included_credit_nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        grant=GrantTerms(source=CreditGrant.Source.PLAN, priority=PRIORITY, expires_at=expires_at),
        reason=f"Included in {version.plan.name}",
    )
    return [fee, credit]


def cut(period: SubscriptionPeriod, rest: Rest, *, now: datetime) -> list[Movement]:
    """What goes back of a period's fee, and is taken back of its credit."""
    subscription, grant, name = period.subscription, grant_of(period), period.version.plan.name
    refund = Movement(
        operation_key=key(subscription, period.number, "refund"),
        kind=TransactionKind.FEE,
        organization_id=subscription.organization_id,
        nanos=rest.refund_nanos,
        counter=Account.FEES,
        event_day=now.date(),
        grant=REFUND,
        reason=f"Unused time of {name}",
        corrects_id=period.fee_id,
    )
    taken_back = Movement(
        operation_key=key(subscription, period.number, "unearned"),
        kind=TransactionKind.GRANT,
        organization_id=subscription.organization_id,
        nanos=-rest.taken_back_nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        reason=f"Unearned credit of {name}",
        corrects_id=period.credit_id,
        from_grant_id=grant.pk if grant else None,
    )
    return [refund, taken_back]


def carry_over(subscription: Subscription, number: int, version: PlanVersion, *, now: datetime) -> list[Movement]:
    """What is too much to go into the next period: more than one period includes. The oldest credit goes first.

    Under a version that lets nothing roll over, credit that did lapses later. The caller holds `ledger.lock`.
    """
    room = version.included_credit_nanos
    if not (version.rolls_over and room):
        let_lapse(subscription, now)
        return []
    movements = []
    for grant in _rolled_over(subscription).order_by("-id"):
        kept = min(room, grant.remaining_nanos)
        room -= kept
        movements.append(
            Movement(
                operation_key=key(subscription, number, f"left:{grant.pk}"),
                kind=TransactionKind.EXPIRY,
                organization_id=subscription.organization_id,
                nanos=kept - grant.remaining_nanos,
                counter=Account.BREAKAGE,
                event_day=now.date(),
                reason="More than a period includes doesn't roll over",
                from_grant_id=grant.pk,
            )
        )
    return movements


def let_lapse(subscription: Subscription, at: datetime) -> None:
    """Credit that rolled over has no plan any more to go on with. The caller holds `ledger.lock`."""
    _rolled_over(subscription).update(expires_at=at + KEPT_AFTER)


def _rolled_over(subscription: Subscription) -> "QuerySet[CreditGrant]":
    return CreditGrant.objects.filter(
        organization_id=subscription.organization_id,
        source=CreditGrant.Source.PLAN,
        expires_at=None,
        remaining_nanos__gt=0,
    )
