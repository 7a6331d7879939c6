"""A period begins: it is paid, its credit granted, the row written. Used by whoever changes or renews a plan."""

from datetime import datetime

from billing import ledger
from billing.models import PlanVersion, Subscription, SubscriptionPeriod, TopUp
from billing.plans import moving
from billing.plans.paying import Till
from billing.plans.periods import following
from billing.plans.quoting import Quote, running_period


def begin_now(subscription: Subscription, quote: Quote, version: PlanVersion, *, till: Till, now: datetime) -> None:
    """Cut the period that runs, if one does, and begin a version's at the quote's moment. Raises NotEnoughError."""
    subscription.anchor_day = quote.at.day
    movements = cut_movements(subscription, quote, now=now) if subscription.number else []
    ends_at = following(quote.at, version.period, subscription.anchor_day)
    movements += moving.begin(
        subscription, subscription.number + 1, version, expires_at=None if version.rolls_over else ends_at, now=now
    )
    posted = till.post(
        movements,
        needed_nanos=quote.needed_nanos,
        now=now,
        fee_nanos=quote.fee_nanos,
        refund_nanos=quote.rest.refund_nanos,
    )
    _write(subscription, version, quote.at, ends_at, posted, now=now)


def begin_due(subscription: Subscription, version: PlanVersion, *, till: Till, now: datetime) -> None:
    """Begin the period that follows the last one, however late, from when it was due. Raises NotEnoughError.

    Credit that comes late isn't lost: it expires with the period that runs by then.
    """
    number, starts_at = subscription.number + 1, subscription.period_ends_at
    ends_at = expires_at = following(starts_at, version.period, subscription.anchor_day)
    while expires_at <= now:
        expires_at = following(expires_at, version.period, subscription.anchor_day)
    left = moving.carry_over(subscription, number, version, now=now)
    began = moving.begin(subscription, number, version, expires_at=None if version.rolls_over else expires_at, now=now)
    needed = -sum(movement.nanos for movement in [*left, *began])
    posted = till.post([*left, *began], needed_nanos=needed, now=now, fee_nanos=version.fee_nanos, refund_nanos=0)
    _write(subscription, version, starts_at, ends_at, posted, now=now)


def cut_movements(subscription: Subscription, quote: Quote, *, now: datetime) -> list[ledger.Movement]:
    """End the period that runs at the quote's moment; what that moves."""
    period = running_period(subscription.organization, quote.at)
    if period is None:
        return []
    period.cut_at = quote.at
    period.save(update_fields=["cut_at"])
    return moving.cut(period, quote.rest, now=now)


def _write(
    subscription: Subscription,
    version: PlanVersion,
    starts_at: datetime,
    ends_at: datetime,
    posted: ledger.Posted,
    *,
    now: datetime,
) -> None:
    subscription.number += 1
    subscription.version, subscription.next_version, subscription.cancels_at_end = version, None, False
    subscription.period_starts_at, subscription.period_ends_at = starts_at, ends_at
    subscription.due_at, subscription.past_due_since = ends_at, None
    subscription.save()
    # What was asked for this period by card isn't needed any more: it is withdrawn when it is looked at next.
    asked = TopUp.objects.unsettled().filter(subscription=subscription, period=subscription.number)
    # One that somebody is looking at this moment stays as it is: its money would be the balance's.
    free = asked.filter(created_at__lt=now).select_for_update(skip_locked=True, of=["self"])
    TopUp.objects.filter(pk__in=list(free.values_list("pk", flat=True))).update(closes_at=now, look_at=now)
    SubscriptionPeriod.objects.create(
        subscription=subscription,
        number=subscription.number,
        version=version,
        starts_at=starts_at,
        ends_at=ends_at,
        paid_at=now,
        fee_id=posted.transactions.get(moving.key(subscription, subscription.number, "fee")),
        credit_id=posted.transactions.get(moving.key(subscription, subscription.number, "credit")),
    )
