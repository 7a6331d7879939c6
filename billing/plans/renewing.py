"""Renewing plans when they are due: each period once and in order, also after a standstill, by however many at once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Value
from django.db.models.functions import Least

from accounts.models import Organization, alarm
from billing import ledger
from billing.models import Subscription
from billing.plans.beginning import begin_due
from billing.plans.errors import NotEnoughError, PutOffError
from billing.plans.finishing import finish
from billing.plans.giving import give
from billing.plans.noting import Cause, Kind, note
from billing.plans.paying import Till, carry_out

log = structlog.get_logger(__name__)


class Answer(StrEnum):
    """Of another way to pay: the money came (and may have renewed it already), it doesn't come, it isn't known yet."""

    PAID = "paid"
    NO = "no"
    LATER = "later"


# Asked, outside of any transaction, for nano-dollars that a renewal lacks.
Payer = Callable[[Subscription, int, datetime], Answer]
payers: list[Payer] = []


def renew_due(now: datetime) -> dict[str, int]:
    """Renew, or end, what is due; return how many periods began, failed, and so on. Again, it does nothing twice.

    Each period is a transaction. What Valkey's absence puts off stays due, and so does what breaks: an alarm tells of
    it, and the others go on.
    """
    counts = {"renewed": 0, "failed": 0, "ended": 0, "put off": 0, "waiting": 0, "broken": 0}
    due = Subscription.objects.current().filter(due_at__lte=now).order_by("pk")
    last = 0
    while found := list(due.filter(pk__gt=last).values_list("pk", flat=True)[:500]):
        for pk in found:
            for outcome in _renew_or_tell(pk, now):
                counts[outcome] += 1
        last = found[-1]
    return counts


def renew(subscription_id: int, now: datetime) -> list[str]:
    """Do all that is due of one subscription, period by period; what came of each."""
    outcomes: list[str] = []
    while outcome := _renew_once(subscription_id, now):
        outcomes.append(outcome)
        if outcome in ("put off", "waiting"):
            break
    return outcomes


def _renew_or_tell(subscription_id: int, now: datetime) -> list[str]:
    try:
        return renew(subscription_id, now)
    except (InterfaceError, OperationalError):
        # The database is away, for all of them.
        raise
    except Exception as error:
        log.exception("renewal breaks", subscription=subscription_id)
        detail = f"{type(error).__name__}: {str(error)[:500]}. It stays due, and is tried again until this is mended."
        alarm.raise_alarm("renewal_breaks", f"subscription {subscription_id}", detail, now=now)
        return ["broken"]


def pay_now(organization: Organization, *, now: datetime) -> list[str]:
    """Try a renewal that has failed before its time; what came of it."""
    failed = Subscription.objects.current().filter(organization=organization).exclude(past_due_since=None)
    if not (found := failed.first()):
        return []
    failed.filter(due_at__gt=now).update(due_at=now)
    return renew(found.pk, now)


def _renew_once(subscription_id: int, now: datetime) -> str:
    organization_id = Subscription.objects.values_list("organization_id", flat=True).get(pk=subscription_id)
    try:
        try:
            return carry_out(organization_id, lambda till: _follow(till, subscription_id, now))
        except NotEnoughError as error:
            missing = error.missing_nanos
        answer = _ask_payers(subscription_id, missing, now)
        if answer == Answer.LATER:
            return "waiting"
        if answer == Answer.PAID:
            return carry_out(organization_id, lambda till: _follow(till, subscription_id, now)) or "renewed"
        return carry_out(organization_id, lambda till: _fail(till, subscription_id, now))
    except NotEnoughError:
        return carry_out(organization_id, lambda till: _fail(till, subscription_id, now))
    except PutOffError as error:
        log.warning("renewal put off", subscription=subscription_id, error=str(error))
        return "put off"


def _ask_payers(subscription_id: int, missing: int, now: datetime) -> Answer:
    subscription = Subscription.objects.select_related("organization", "version__plan", "next_version__plan").get(
        pk=subscription_id
    )
    answers = (pay(subscription, missing, now) for pay in payers)
    return next((answer for answer in answers if answer != Answer.NO), Answer.NO)


def follow_paid(subscription_id: int, number: int, brought_nanos: int, now: datetime) -> bool:
    """Begin the period of this number, whose fee has just come, in the caller's transaction; whether it began.

    Not where another way was quicker, or the plan has ended: then the money is the balance's.
    """
    waiting = Subscription.objects.current().filter(pk=subscription_id, number=number - 1, period_ends_at__lte=now)
    organization_id = waiting.values_list("organization_id", flat=True).first()
    if organization_id is None:
        return False
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    if not waiting.filter(cancels_at_end=False).update(due_at=Least("due_at", Value(now))):
        return False
    return bool(_follow(Till(organization, brought_nanos), subscription_id, now))


def _follow(till: Till, subscription_id: int, now: datetime) -> str:
    """Begin the next period, or end with the last one; nothing if somebody else did."""
    subscription = _due(subscription_id, now)
    if subscription is None:
        return ""
    subscription.organization = till.organization
    if subscription.cancels_at_end:
        finish(subscription, subscription.period_ends_at, now=now)
        return "ended"
    ledger.lock([subscription.organization_id])
    before, version = subscription.version, subscription.next_version or subscription.version
    begin_due(subscription, version, till=till, now=now)
    changed = before != version
    kind = Kind.CHANGED if changed else Kind.RENEWED
    note(subscription, kind, at=subscription.period_starts_at, now=now, nanos=version.fee_nanos)
    if changed:
        give(subscription.organization, version, actor=None, reason="The period ended", now=now)
    return "renewed"


def _fail(till: Till, subscription_id: int, now: datetime) -> str:
    """Past due: tried again each night for the time of grace, then it ends. Meanwhile it gives what it gave."""
    subscription = _due(subscription_id, now)
    if subscription is None:
        return ""
    subscription.organization = till.organization
    if subscription.past_due_since is None:
        subscription.past_due_since = now
        version = subscription.next_version or subscription.version
        note(subscription, Kind.PAST_DUE, at=now, now=now, version=version, nanos=version.fee_nanos)
    # Since the first attempt, not since it was due: nobody loses a plan because renewals stood still.
    if now >= subscription.past_due_since + timedelta(days=settings.PLAN_GRACE_DAYS):
        finish(subscription, now, now=now, cause=Cause.UNPAID)
        return "ended"
    subscription.due_at = next_night(now)
    subscription.save(update_fields=["past_due_since", "due_at"])
    return "failed"


def next_night(now: datetime) -> datetime:
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def _due(subscription_id: int, now: datetime) -> Subscription | None:
    due = Subscription.objects.current().filter(pk=subscription_id, due_at__lte=now)
    found = due.select_related("version__plan", "next_version__plan").select_for_update(of=["self"])
    return found.first()
