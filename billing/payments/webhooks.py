"""Signed events from Stripe: each is a hint to look, and none of what it says is believed."""

from datetime import datetime

import msgspec
import stripe
from django.conf import settings

from billing.models import SavedCard, StripeCustomer, TopUp, WebhookEvent
from billing.payments import cards, disputes, intents, refunds, settling
from billing.payments.calling import livemode

TOLERANCE_SECONDS = 300
ABOUT_TOP_UPS = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
    }
)
ABOUT_REFUNDS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
ABOUT_DISPUTES = frozenset(
    {
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)

ABOUT_PAYMENTS = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.canceled",
    }
)
ABOUT_CARDS = frozenset(
    {
        "payment_method.attached",
        "payment_method.detached",
        "payment_method.updated",
        "payment_method.automatically_updated",
        "customer.updated",
        "customer.deleted",
    }
)


class ForgedError(ValueError):
    """Not signed with a secret of ours, or too long ago."""


class MalformedError(ValueError):
    """Signed, and not an event."""


class _Named(msgspec.Struct):
    id: str = ""


class _Data(msgspec.Struct):
    object: _Named


class Event(msgspec.Struct):
    """As much of an event as is read. `account` is named where it happened at another one than ours."""

    id: str
    type: str
    livemode: bool
    data: _Data
    account: str | None = None


def verified(body: bytes, signature: str) -> Event:
    """The event, where one of our secrets signed this body within TOLERANCE_SECONDS. Raises the errors above."""
    if not any(_signed(body, signature, secret) for secret in settings.STRIPE_WEBHOOK_SECRETS):
        raise ForgedError
    try:
        return msgspec.json.decode(body, type=Event)
    except msgspec.DecodeError:
        # Without the cause, which may quote it.
        raise MalformedError from None


def _signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def handle(event: Event, *, now: datetime) -> str:
    """Do what an event asks for, unless that was done; return what became of it. Raises what `settling.look` does."""
    row, _ = WebhookEvent.objects.get_or_create(
        event_id=event.id,
        defaults={
            "kind": event.type[:120],
            "about": event.data.object.id[:255],
            "livemode": event.livemode,
            "account": (event.account or "")[:255],
            "received_at": now,
        },
    )
    if row.handled_at is None:
        row.outcome = _settle(event, now)
        row.handled_at = now
        row.save(update_fields=["outcome", "handled_at"])
    return row.outcome


def _settle(event: Event, now: datetime) -> str:
    settle = next((settle for types, settle in SETTLERS if event.type in types), None)
    if settle is None:
        return "ignored: its type"
    if event.livemode != livemode():
        return "ignored: the other mode"
    if event.account and event.account != settings.STRIPE_ACCOUNT:
        return "ignored: another account"
    return settle(event.data.object.id, now)


def _session(session_id: str, now: datetime) -> str:
    seen = settling.session(session_id)
    if seen is None:
        return "ignored: not there"
    if seen.mode == "setup":
        return _cards_of(seen.customer, now)
    # Before the answer to our call was noted, its reference is all that leads to our row.
    top_up = (
        TopUp.objects.filter(checkout_session=seen.id).first() or TopUp.objects.filter(public_id=seen.reference).first()
    )
    if top_up is None:
        return "ignored: not ours"
    return settling.take(top_up.pk, seen, now=now).state


def _payment(intent_id: str, now: datetime) -> str:
    seen = intents.payment(intent_id)
    if seen is None:
        return "ignored: not there"
    top_up = (
        TopUp.objects.filter(payment_intent=intent_id).first() or TopUp.objects.filter(public_id=seen.reference).first()
    )
    if top_up is None:
        return "ignored: not ours"
    if top_up.way == TopUp.Way.CHECKOUT:
        return "ignored: its session tells"
    return settling.take(top_up.pk, seen, now=now).state


def _cards(about: str, now: datetime) -> str:
    """Of a customer or a payment method, ours or new to us."""
    if about.startswith("cus_"):
        return _cards_of(about, now)
    known = SavedCard.objects.filter(payment_method=about).values_list("customer", flat=True).first()
    return _cards_of(known or cards.customer_of(about), now)


def _cards_of(customer: str, now: datetime) -> str:
    row = StripeCustomer.objects.filter(stripe_id=customer).select_related("organization").first() if customer else None
    if row is None:
        return "ignored: not ours"
    cards.look(row.organization, now=now)
    return "cards"


def _refund(refund_id: str, now: datetime) -> str:
    return refunds.hear(refund_id, now=now)


def _dispute(dispute_id: str, now: datetime) -> str:
    return disputes.hear(dispute_id, now=now)


SETTLERS = (
    (ABOUT_TOP_UPS, _session),
    (ABOUT_PAYMENTS, _payment),
    (ABOUT_CARDS, _cards),
    (ABOUT_REFUNDS, _refund),
    (ABOUT_DISPUTES, _dispute),
)
