"""Saved cards: Stripe keeps them; what it tells of them is mirrored, so that pages and payments needn't ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import stripe
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from accounts.models import Organization
from accounts.models.audit import Actor, record
from billing.models import SavedCard, StripeCustomer
from billing.payments import customers
from billing.payments.calling import RefusedError, UnknownError, calling, if_there, livemode
from billing.payments.seen import id_of

LOOK_EVERY = timedelta(days=1)
"""Cards expire, and banks replace them: of that a webhook may get lost."""

MOST = 100


@dataclass(frozen=True)
class Told:
    """What Stripe said of a customer's cards, the newest first; `default` is a payment method's id, or empty."""

    cards: list[stripe.PaymentMethod]
    default: str


def of(organization: Organization) -> "QuerySet[SavedCard]":
    """Those that can pay, the default first."""
    here = _customers(organization).exclude(stripe_id=None).values("stripe_id")
    mine = SavedCard.objects.filter(organization=organization, customer__in=here, removed_at=None)
    return mine.order_by("-is_default", "-added_at", "-pk")


def default_of(organization: Organization) -> SavedCard | None:
    return of(organization).filter(is_default=True).first()


def look(organization: Organization, *, now: datetime) -> None:
    """Ask Stripe for its cards, and note them. Raises RefusedError and UnknownError."""
    row = _customers(organization).exclude(stripe_id=None).first()
    if row:
        _note(row, str(row.stripe_id), _ask(str(row.stripe_id)), asked_at=now)


def look_if_due(organization: Organization, *, now: datetime) -> None:
    if _customers(organization).filter(cards_look_at__lte=now).exists():
        look(organization, now=now)


def look_soon(organization: Organization, *, now: datetime) -> None:
    """What is known of its cards may be wrong. Locks the customer's row, which goes before its cards'."""
    _customers(organization).update(cards_look_at=now)


def due(now: datetime) -> Iterable[Organization]:
    """Whose cards are to be asked for, at the account and in the mode of our key."""
    rows = StripeCustomer.objects.filter(account=settings.STRIPE_ACCOUNT, livemode=livemode(), cards_look_at__lte=now)
    return [row.organization for row in rows.select_related("organization").order_by("cards_look_at")[:MOST]]


def customer_of(payment_method: str) -> str:
    """Whose card it is, by Stripe's ids; empty for nobody's. Raises RefusedError and UnknownError."""
    found = if_there("payment_methods.retrieve", lambda stripe_: stripe_.payment_methods.retrieve(payment_method))
    return id_of(found.customer) if found else ""


def add_page(organization: Organization, *, now: datetime) -> str:
    """Stripe's page on which a card is saved without paying. Raises RefusedError and UnknownError.

    It has no row of ours: no money moves, and a page whose answer was lost was never told to anybody.
    """
    customer = customers.customer_of(organization, now=now)
    here = _page(organization)
    look_soon(organization, now=now)
    with calling("checkout.sessions.create") as stripe_:
        made = stripe_.checkout.sessions.create(
            {
                "mode": "setup",
                "currency": settings.CURRENCY,
                "customer": customer,
                "allowed_payment_method_types": ["card"],
                "metadata": {"organization": organization.public_id},
                "success_url": here,
                "cancel_url": here,
            }
        )
    return str(made.url)


def portal_page(organization: Organization, *, now: datetime) -> str:
    """Stripe's own page of a customer's cards. Raises RefusedError and UnknownError."""
    customer = customers.customer_of(organization, now=now)
    look_soon(organization, now=now)
    with calling("billing_portal.sessions.create") as stripe_:
        return stripe_.billing_portal.sessions.create({"customer": customer, "return_url": _page(organization)}).url


def make_default(card: SavedCard, *, actor: Actor, now: datetime) -> None:
    """The card that pays where nobody chooses. Raises RefusedError and UnknownError."""
    look_soon(card.organization, now=now)
    with calling("customers.update") as stripe_:
        stripe_.customers.update(card.customer, {"invoice_settings": {"default_payment_method": card.payment_method}})
    with transaction.atomic():
        look_soon(card.organization, now=now)
        others = SavedCard.objects.filter(customer=card.customer, is_default=True)
        others.update(is_default=False)
        SavedCard.objects.filter(pk=card.pk, removed_at=None).update(is_default=True)
        _audit("card.make_default", card, actor, now)


def remove(card: SavedCard, *, actor: Actor, now: datetime) -> None:
    """It pays nothing any more. Raises UnknownError."""
    # Whatever becomes of the call nobody uses it here; if it stays at Stripe, the next look shows it again.
    with transaction.atomic():
        look_soon(card.organization, now=now)
        SavedCard.objects.filter(pk=card.pk).update(removed_at=now, is_default=False)
        _audit("card.remove", card, actor, now)
    try:
        with calling("payment_methods.detach") as stripe_:
            stripe_.payment_methods.detach(card.payment_method)
    except RefusedError as error:
        if error.temporary:
            raise UnknownError("payment_methods.detach", ended=True) from None
        # Somebody was quicker.


def _customers(organization: Organization) -> "QuerySet[StripeCustomer]":
    return StripeCustomer.objects.filter(
        organization=organization, account=settings.STRIPE_ACCOUNT, livemode=livemode()
    )


def _ask(customer: str) -> Told:
    try:
        with calling("customers.retrieve") as stripe_:
            known = stripe_.customers.retrieve(customer)
        if getattr(known, "deleted", False):
            return Told([], "")
        with calling("customers.payment_methods.list") as stripe_:
            kept = stripe_.customers.payment_methods.list(customer, {"type": "card", "limit": MOST}).data
    except RefusedError as error:
        if error.code != "resource_missing":
            raise
        return Told([], "")
    chosen = known.invoice_settings.default_payment_method if known.invoice_settings else None
    return Told(kept, id_of(chosen))


@transaction.atomic(durable=True)
def _note(row: StripeCustomer, customer: str, told: Told, *, asked_at: datetime) -> None:
    """What was asked for earlier than what is noted already says nothing new."""
    row = StripeCustomer.objects.select_for_update(no_key=True, of=["self"]).get(pk=row.pk)
    if row.cards_asked_at and row.cards_asked_at > asked_at:
        return
    ids = [method.id for method in told.cards]
    default = told.default if told.default in ids else next(iter(ids), "")
    known = SavedCard.objects.filter(organization_id=row.organization_id)
    known.exclude(payment_method=default).update(is_default=False)
    known.filter(removed_at=None).exclude(payment_method__in=ids).update(removed_at=asked_at)
    for method in told.cards:
        if method.card:
            _keep(row, customer, method, method.card, is_default=method.id == default, now=asked_at)
    row.cards_asked_at, row.cards_look_at = asked_at, asked_at + LOOK_EVERY
    row.save(update_fields=["cards_asked_at", "cards_look_at"])


def _keep(
    row: StripeCustomer,
    customer: str,
    method: stripe.PaymentMethod,
    card: stripe.PaymentMethod.Card,
    *,
    is_default: bool,
    now: datetime,
) -> None:
    shown = {
        "customer": customer,
        "brand": card.brand,
        "last4": card.last4 or "",
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "is_default": is_default,
        "removed_at": None,
    }
    SavedCard.objects.update_or_create(
        payment_method=method.id,
        defaults=shown,
        create_defaults={**shown, "organization_id": row.organization_id, "added_at": now},
    )


def _page(organization: Organization) -> str:
    return settings.CONSOLE_URL + reverse("cards", kwargs={"org": organization.public_id})


def _audit(action: str, card: SavedCard, actor: Actor, now: datetime) -> None:
    shown = {"card": str(card), "expires": card.expiry}
    record(action, card.public_id, actor=actor, organization=card.organization, before=shown, now=now)
