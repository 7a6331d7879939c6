"""Plan fees by saved card, where the balance doesn't cover them: one top-up for each period of a subscription, ever.

Its money comes to the balance and pays the fee in one transaction, so that nothing spends it in between. It has one
PaymentIntent, which is asked again on a schedule, and paid once at most.
"""

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Q

from accounts.models import Organization, alarm
from accounts.models.audit import Actor, record
from billing.models import Balance, NoticeKind, PlanVersion, Subscription, TopUp
from billing.models.payment import AUTHENTICATION
from billing.notices.giving import News, give
from billing.payments import calling, cards, charging, settling, topping_up, withdrawing
from billing.payments.currencies import nanos_of, nanos_per_unit
from billing.plans import renewing
from billing.plans.paying import own_money
from billing.plans.renewing import Answer

log = structlog.get_logger(__name__)

LEAST = 50
"""Cents: Stripe takes no less. What is more than the fee stays on the balance."""

NIGHTS = (1, 2, 2)
"""After the first, second and third no it is asked again so many nights later; then no more."""

AGAIN = timedelta(minutes=10)
"""Of what Stripe knows nothing after so long it was never told: the same request may be sent again."""

ASKED_TWICE = timedelta(minutes=1)
FAILURES = (calling.RefusedError, calling.UnknownError)


def let_pay(organization: Organization, *, by_card: bool, actor: Actor, now: datetime) -> None:
    """Whether the default card pays the fees of its plan that the balance doesn't cover."""
    with transaction.atomic():
        own = Subscription.objects.current().filter(organization=organization).exclude(by_card=by_card)
        if own.update(by_card=by_card):
            name = "plan.by_card" if by_card else "plan.not_by_card"
            record(name, organization.public_id, actor=actor, organization=organization, now=now)


def pay(subscription: Subscription, missing_nanos: int, now: datetime) -> Answer:
    """Asked by a renewal that the balance doesn't cover, outside of any transaction."""
    organization = subscription.organization
    if not (calling.offered() and subscription.by_card) or organization.suspended_at:
        return Answer.NO
    try:
        return _pay(subscription, subscription.next_version or subscription.version, now)
    except FAILURES as error:
        log.warning("plan fee not asked for", subscription=subscription.pk, error=str(error))
        return Answer.LATER


def _pay(subscription: Subscription, version: PlanVersion, now: datetime) -> Answer:
    top_up = _of(subscription)
    if top_up and not top_up.settled:
        top_up = _looked_at(top_up, now)
    if top_up and top_up.state == TopUp.State.PAID:
        # It paid: by now the period has begun, unless the balance needs more than the fee.
        return Answer.PAID if _number(subscription) > subscription.number else Answer.NO
    if top_up and not (top_up.retry_at and top_up.retry_at <= now):
        return Answer.LATER if not top_up.settled and not top_up.awaits_customer else Answer.NO
    # Whoever has a page open to pay would pay twice.
    if not withdrawing.close_pages(subscription.organization, now=now):
        return Answer.LATER
    if _covered(subscription.organization, version):
        return Answer.PAID
    top_up = _again(top_up, now) if top_up else _begun(subscription, version, now)
    return _answer(top_up, subscription)


def _of(subscription: Subscription) -> TopUp | None:
    own = TopUp.objects.filter(subscription=subscription, period=subscription.number + 1)
    return own.select_related("organization", "card").first()


def _looked_at(top_up: TopUp, now: datetime) -> TopUp:
    found = settling.look(top_up, now=now)
    if found.payment_intent or found.settled or now < top_up.created_at + AGAIN:
        return found
    # Never asked for, or asked for and not there: with the same idempotency key Stripe does it once at most.
    return charging.charge(top_up, present=False, again=bool(top_up.attempts), now=now)


def _number(subscription: Subscription) -> int:
    return Subscription.objects.values_list("number", flat=True).get(pk=subscription.pk)


def _covered(organization: Organization, version: PlanVersion) -> bool:
    return own_money(Balance.objects.get(organization=organization)) >= version.fee_nanos


def _begun(subscription: Subscription, version: PlanVersion, now: datetime) -> TopUp | None:
    """The period's top-up, asked for; None where there is no card, or somebody else began it."""
    organization = subscription.organization
    card = cards.default_of(organization)
    if card is None:
        return None
    amount = amount_of(version)
    top_up = topping_up.new(organization, amount, nanos_of(amount, settings.CURRENCY), actor=None, now=now)
    top_up.way, top_up.card, top_up.customer = TopUp.Way.PLAN, card, card.customer
    top_up.subscription, top_up.period = subscription, subscription.number + 1
    # Until the plan would have ended without it.
    since = subscription.past_due_since or now
    top_up.closes_at = max(since, now) + timedelta(days=settings.PLAN_GRACE_DAYS + 1)
    try:
        with transaction.atomic():
            top_up.save(force_insert=True)
    except IntegrityError:
        return _of(subscription)
    return charging.charge(top_up, present=False, now=now)


def amount_of(version: PlanVersion) -> int:
    """What a card pays for a period: the fee in the currency's smallest unit, rounded up."""
    return max(LEAST, -(-version.fee_nanos // nanos_per_unit(settings.CURRENCY)))


def _again(top_up: TopUp, now: datetime) -> TopUp:
    """Ask the card that is the default by now for the same payment. Claimed first: by one at a time."""
    card = cards.default_of(top_up.organization)
    waiting = TopUp.objects.filter(Q(state=TopUp.State.FAILED) | Q(decline=AUTHENTICATION), pk=top_up.pk)
    if card is None or not waiting.filter(retry_at__lte=now).update(
        state=TopUp.State.OPEN, decline="", why="", retry_at=None, card=card
    ):
        return top_up
    top_up.refresh_from_db()
    try:
        if top_up.payment_intent:
            return charging.confirm(top_up, card, present=False, now=now)
        return charging.charge(top_up, present=False, now=now)
    except charging.SettledError:
        top_up.refresh_from_db()
        return top_up


def _answer(top_up: TopUp | None, subscription: Subscription) -> Answer:
    if top_up is None:
        return Answer.NO
    if top_up.state == TopUp.State.PAID:
        return Answer.PAID if _number(subscription) > subscription.number else Answer.NO
    return Answer.NO if top_up.settled or top_up.awaits_customer else Answer.LATER


def ask_again(organization: Organization, *, now: datetime) -> None:
    """A person wants it tried now, with another card perhaps. Once a minute at most."""
    own = TopUp.objects.filter(organization=organization, way=TopUp.Way.PLAN, looked_at__lte=now - ASKED_TWICE)
    waiting = own.filter(Q(state=TopUp.State.FAILED) | Q(state=TopUp.State.OPEN, decline=AUTHENTICATION))
    waiting.filter(subscription__ended_at=None).update(retry_at=now)


def follow(top_up: TopUp, now: datetime) -> None:
    """What its new state means for the plan; in the transaction that says so."""
    if top_up.state == TopUp.State.PAID:
        _renew(top_up, now)
    elif top_up.decline and (top_up.state == TopUp.State.FAILED or top_up.awaits_customer):
        nights = NIGHTS[top_up.attempts - 1] if top_up.attempts <= len(NIGHTS) else 0
        top_up.retry_at = renewing.next_night(now) + timedelta(days=nights - 1) if nights else None
        top_up.save(update_fields=["retry_at"])
        _tell(top_up, now)
    elif top_up.state == TopUp.State.FAILED and now < top_up.closes_at:
        # No no of the card's: Stripe was busy, say.
        top_up.retry_at = now
        top_up.save(update_fields=["retry_at"])


def _renew(top_up: TopUp, now: datetime) -> None:
    """Its money pays the fee at once. Where it can't, it stays on the balance, and the renewal is tried from there."""
    subscription = top_up.subscription
    if subscription is None or top_up.period is None:
        return
    try:
        with transaction.atomic():
            renewing.follow_paid(subscription.pk, top_up.period, top_up.nanos, now)
    except (InterfaceError, OperationalError):
        raise
    except Exception as error:
        log.exception("plan fee paid, renewal breaks", top_up=top_up.public_id)
        detail = f"{type(error).__name__}: {str(error)[:400]}. Its fee was paid by card and is on the balance."
        alarm.raise_alarm("renewal_breaks", f"subscription {subscription.pk}", detail, now=now)


def _tell(top_up: TopUp, now: datetime) -> None:
    subscription = top_up.subscription
    if subscription is None:
        return
    event = "plan_confirm" if top_up.awaits_customer else "plan_declined"
    facts = {
        "event": event,
        "plan": (subscription.next_version or subscription.version).plan.name,
        "nanos": top_up.nanos,
        "why": top_up.why,
        "card": str(top_up.card),
        "top_up": top_up.public_id,
        "until": top_up.closes_at.isoformat(),
        "next_at": top_up.retry_at.isoformat() if top_up.retry_at else "",
    }
    news = News(top_up.organization_id, NoticeKind.CARD, f"{event}:{top_up.public_id}:{top_up.attempts}", facts)
    give([news], now=now)
