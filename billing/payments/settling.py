"""Looking a top-up up at Stripe, and crediting it once. The return page, webhooks and healing all end here."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from stripe import V1Services

from accounts.models import Organization, alarm
from billing import ledger
from billing.models import Account, CreditGrant, NoticeKind, StripeCustomer, TopUp, TransactionKind
from billing.notices.giving import News, give
from billing.payments import intents, searching
from billing.payments.billing_details import lines_of
from billing.payments.calling import if_there, ours
from billing.payments.seen import EXPANDED, Seen, Sighting
from billing.promotions import redeeming

PRIORITY = 50
"""Bought credit burns after what was given."""

SOONEST, LATEST = timedelta(minutes=5), timedelta(hours=6)
"""How long until it is looked at again: the longer, the older it is."""

Follower = Callable[[TopUp, datetime], None]
followers: dict[TopUp.Way, Follower] = {}
"""What is done, by way of paying, when a top-up's state has changed: in the transaction that says so."""


def look(top_up: TopUp, *, now: datetime) -> TopUp:
    """What has become of it, as Stripe says now. Raises RefusedError and UnknownError."""
    if top_up.state == TopUp.State.PAID or not ours(top_up):
        return top_up
    return take(top_up.pk, _seen(top_up, now), now=now)


def _seen(top_up: TopUp, now: datetime) -> Sighting | None:
    if top_up.way == TopUp.Way.CHECKOUT:
        return session(top_up.checkout_session) if top_up.checkout_session else _search(top_up)
    seen = intents.payment_of(top_up)
    if seen and seen.state == TopUp.State.OPEN and now >= top_up.closes_at:
        # Stripe would let it be paid for ever.
        return intents.withdraw(seen)
    return seen


def session(session_id: str) -> Seen | None:
    """A Checkout Session as it is now; None where there is none of that id."""
    return if_there(
        "checkout.sessions.retrieve",
        lambda stripe: Seen.of(stripe.checkout.sessions.retrieve(session_id, {"expand": EXPANDED})),
    )


def take(top_up_pk: int, seen: Sighting | None, *, now: datetime) -> TopUp:
    """Note what was seen of it, and credit it where it is paid. Committed when this returns."""
    with transaction.atomic(durable=True):
        top_up = _held(top_up_pk)
        if top_up.state == TopUp.State.PAID:
            return top_up
        before = top_up.state, top_up.decline
        top_up.looked_at = now
        top_up.look_at = now + min(max((now - top_up.created_at) // 2, SOONEST), LATEST)
        if seen is None:
            _missing(top_up, now)
        elif differences := seen.differences(top_up):
            _trouble(top_up, f"At Stripe, {'; '.join(differences)}", now)
        else:
            _note(top_up, seen, now)
        top_up.save()
        _follow(top_up, before, now)
    return top_up


def fail(top_up_pk: int, why: str, *, code: str = "", now: datetime) -> TopUp:
    """Stripe refused it: nothing was done. `code` where the card is to blame."""
    with transaction.atomic(durable=True):
        top_up = _held(top_up_pk)
        before = top_up.state, top_up.decline
        if not top_up.settled:
            top_up.state, top_up.why, top_up.decline = TopUp.State.FAILED, why, code[:60]
            top_up.save()
            _follow(top_up, before, now)
    return top_up


def _held(top_up_pk: int) -> TopUp:
    """Locked in the order of whoever refunds, disputes or changes a plan: organization, top-up, then balance."""
    own = TopUp.objects.filter(pk=top_up_pk).values("organization")
    Organization.objects.select_for_update(no_key=True).get(pk__in=own)
    rows = TopUp.objects.select_for_update(no_key=True, of=["self"]).select_related("organization")
    return rows.get(pk=top_up_pk)


def _follow(top_up: TopUp, before: tuple[str, str], now: datetime) -> None:
    follow = followers.get(TopUp.Way(top_up.way))
    if follow and (top_up.state, top_up.decline) != before:
        follow(top_up, now)


def _note(top_up: TopUp, seen: Sighting, now: datetime) -> None:
    top_up.checkout_session, top_up.trouble = seen.session, ""
    if seen.intent:
        top_up.payment_intent = seen.intent.id
    if seen.state != TopUp.State.PAID:
        # Of a card's payment that failed nothing can come but its money: another one may be on its way.
        if not (top_up.settled and top_up.card_id):
            top_up.state, top_up.pay_url = seen.state, seen.url
            top_up.why, top_up.decline = seen.why, seen.decline
        return
    try:
        with transaction.atomic():
            credit(top_up, now)
    except ledger.BalanceTooLarge as error:
        _trouble(top_up, f"It is paid and can't be credited: {error}", now)


def credit(top_up: TopUp, now: datetime) -> None:
    """Credit what is known to be paid, in the transaction that holds the row; the caller saves it.

    The operation key is the PaymentIntent's: whoever comes second finds it in the ledger.
    """
    movement = ledger.Movement(
        operation_key=f"top-up:{top_up.payment_intent}",
        kind=TransactionKind.TOP_UP,
        organization_id=top_up.organization_id,
        nanos=top_up.nanos,
        counter=Account.CASH_STRIPE,
        event_day=now.date(),
        grant=ledger.GrantTerms(source=CreditGrant.Source.TOP_UP, priority=PRIORITY),
        reason=f"Top-up {top_up.public_id}",
        actor_id=top_up.actor_id,
    )
    posted = ledger.post([movement], now=now)
    if movement.operation_key not in posted.transactions:
        _trouble(top_up, f"Its payment {top_up.payment_intent} was credited before", now)
        return
    top_up.state, top_up.paid_at = TopUp.State.PAID, now
    top_up.billed_to = lines_of(top_up.organization)
    top_up.pay_url = top_up.why = top_up.decline = ""
    top_up.transaction_id = posted.transactions[movement.operation_key]
    redeeming.keep(top_up, now)
    facts = {"top_up": top_up.public_id, "nanos": top_up.nanos, "currency": top_up.currency.upper()}
    if top_up.saves_card:
        StripeCustomer.objects.filter(stripe_id=top_up.customer).update(cards_look_at=now)
    give([News(top_up.organization_id, NoticeKind.RECEIPT, top_up.public_id, facts)], now=now)


def _missing(top_up: TopUp, now: datetime) -> None:
    """Stripe knows of no page for it. Once none can come any more, it has failed."""
    if known := top_up.checkout_session or top_up.payment_intent:
        _trouble(top_up, f"Stripe has no {known}", now)
    elif now >= top_up.closes_at:
        what = "The payment" if top_up.card_id else "The payment page"
        top_up.state, top_up.why = TopUp.State.FAILED, f"{what} couldn't be made."


def _trouble(top_up: TopUp, what: str, now: datetime) -> None:
    """Nothing is credited; a person must look. It is looked at again all the same."""
    top_up.trouble = what[:500]
    detail = f"{what}. Nothing was credited. Compare the two, then adjust the balance or refund the payment."
    alarm.raise_alarm("payment_differs", top_up.public_id, detail, now=now)


def _search(top_up: TopUp) -> Seen | None:
    """The page of a top-up for which nobody knows whether it was made; None too for a customer unknown to Stripe."""
    if not top_up.customer:
        return None
    return if_there("checkout.sessions.list", lambda stripe: _found(stripe, top_up))


def _found(stripe: V1Services, top_up: TopUp) -> Seen | None:
    listed = stripe.checkout.sessions.list(
        {
            "customer": top_up.customer,
            "created": {"gte": searching.since(top_up.created_at)},
            "limit": 100,
            "expand": [f"data.{name}" for name in EXPANDED],
        }
    )
    found = searching.first(listed, lambda page: page.client_reference_id == top_up.public_id)
    return Seen.of(found) if found else None
