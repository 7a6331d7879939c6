"""Looking a top-up up at Stripe, and crediting it once. The return page, webhooks and healing all end here."""

from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import alarm
from billing import ledger
from billing.models import Account, CreditGrant, NoticeKind, TopUp, TransactionKind
from billing.notices.giving import News, give
from billing.payments.calling import RefusedError, calling, ours
from billing.payments.seen import EXPANDED, Seen

PRIORITY = 50
"""Bought credit burns after what was given."""

SOONEST, LATEST = timedelta(minutes=5), timedelta(hours=6)
"""How long until it is looked at again: the longer, the older it is."""

SKEW = timedelta(hours=1)
MOST_LOOKED_THROUGH = 500


def look(top_up: TopUp, *, now: datetime) -> TopUp:
    """What has become of it, as Stripe says now. Raises RefusedError and UnknownError."""
    if top_up.state == TopUp.State.PAID or not ours(top_up):
        return top_up
    seen = session(top_up.checkout_session) if top_up.checkout_session else _search(top_up)
    return take(top_up.pk, seen, now=now)


def session(session_id: str) -> Seen | None:
    """A Checkout Session as it is now; None where there is none of that id."""
    try:
        with calling("checkout.sessions.retrieve") as stripe:
            return Seen.of(stripe.checkout.sessions.retrieve(session_id, {"expand": EXPANDED}))
    except RefusedError as error:
        if error.code != "resource_missing":
            raise
        return None


def take(top_up_pk: int, seen: Seen | None, *, now: datetime) -> TopUp:
    """Note what was seen of it, and credit it where it is paid. Committed when this returns."""
    with transaction.atomic(durable=True):
        locked = TopUp.objects.select_for_update(no_key=True, of=["self"]).select_related("organization")
        top_up = locked.get(pk=top_up_pk)
        if top_up.state == TopUp.State.PAID:
            return top_up
        top_up.looked_at = now
        top_up.look_at = now + min(max((now - top_up.created_at) // 2, SOONEST), LATEST)
        if seen is None:
            _missing(top_up, now)
        elif differences := seen.differences(top_up):
            _trouble(top_up, f"At Stripe, {'; '.join(differences)}", now)
        else:
            _note(top_up, seen, now)
        top_up.save()
    return top_up


def _note(top_up: TopUp, seen: Seen, now: datetime) -> None:
    top_up.checkout_session, top_up.pay_url, top_up.trouble, top_up.why = seen.id, seen.url, "", ""
    if seen.intent:
        top_up.payment_intent = seen.intent.id
    if seen.state != TopUp.State.PAID:
        top_up.state = seen.state
        if seen.state == TopUp.State.FAILED:
            top_up.why = "The payment didn't go through."
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
    top_up.state, top_up.paid_at, top_up.pay_url = TopUp.State.PAID, now, ""
    top_up.transaction_id = posted.transactions[movement.operation_key]
    facts = {"top_up": top_up.public_id, "nanos": top_up.nanos, "currency": top_up.currency.upper()}
    give([News(top_up.organization_id, NoticeKind.RECEIPT, top_up.public_id, facts)], now=now)


def _missing(top_up: TopUp, now: datetime) -> None:
    """Stripe knows of no page for it. Once none can come any more, it has failed."""
    if top_up.checkout_session:
        _trouble(top_up, f"Stripe has no Checkout Session {top_up.checkout_session}", now)
    elif now >= top_up.closes_at:
        top_up.state, top_up.why = TopUp.State.FAILED, "The payment page couldn't be made."


def _trouble(top_up: TopUp, what: str, now: datetime) -> None:
    """Nothing is credited; a person must look. It is looked at again all the same."""
    top_up.trouble = what[:500]
    detail = f"{what}. Nothing was credited. Compare the two, then adjust the balance or refund the payment."
    alarm.raise_alarm("payment_differs", top_up.public_id, detail, now=now)


def _search(top_up: TopUp) -> Seen | None:
    """The page of a top-up for which nobody knows whether it was made."""
    try:
        return _found(top_up) if top_up.customer else None
    except RefusedError as error:
        if error.code != "resource_missing":
            raise
        return None


def _found(top_up: TopUp) -> Seen | None:
    since = int((top_up.created_at - SKEW).timestamp())
    with calling("checkout.sessions.list") as stripe:
        listed = stripe.checkout.sessions.list(
            {
                "customer": top_up.customer,
                "created": {"gte": since},
                "limit": 100,
                "expand": [f"data.{name}" for name in EXPANDED],
            }
        )
        for looked_through, found in enumerate(listed.auto_paging_iter()):
            if found.client_reference_id == top_up.public_id:
                return Seen.of(found)
            if looked_through >= MOST_LOOKED_THROUGH:
                break
    return None
