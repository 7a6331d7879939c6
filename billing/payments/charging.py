"""Paying a top-up with a saved card: our row is there first, and has one PaymentIntent, which is paid once at most."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import stripe
from django.conf import settings
from django.db.models import F
from django.urls import reverse

from accounts.models import alarm
from billing.models import SavedCard, TopUp
from billing.payments import cards, intents, settling
from billing.payments.calling import DeclinedError, RefusedError, UnknownError, calling

if TYPE_CHECKING:
    from stripe.params import PaymentIntentConfirmParams, PaymentIntentCreateParams


class SettledError(ValueError):
    """There is nothing to confirm any more."""


def charge(top_up: TopUp, *, present: bool, again: bool = False, now: datetime) -> TopUp:
    """Ask its card for the money; `present` says whether the customer is there to confirm it at the bank.

    A card that says no is no error: the top-up tells. Raises RefusedError, after which it has failed, and UnknownError
    where it can't even be looked up: then it stays open. `again` sends the same request, with the same idempotency key.
    """
    if not again:
        if not SavedCard.objects.filter(pk__in=[top_up.card_id], removed_at=None).exists():
            return settling.fail(top_up.pk, "The card was removed.", code="card_removed", now=now)
        # A row of which Stripe wasn't told is told from one of which it may have been.
        TopUp.objects.filter(pk=top_up.pk).update(attempts=F("attempts") + 1)
        top_up.attempts += 1
    return _asked(top_up, lambda: _create(top_up, present=present), now)


def confirm(top_up: TopUp, card: SavedCard, *, present: bool, now: datetime) -> TopUp:
    """Ask again for the same payment, as the bank wanted or after a no. Errors as `charge`; SettledError."""
    asked = TopUp.objects.unsettled().filter(pk=top_up.pk).exclude(payment_intent=None)
    if not asked.update(attempts=F("attempts") + 1, card=card, looked_at=now):
        raise SettledError
    top_up.refresh_from_db()
    return _asked(top_up, lambda: _confirm(top_up, card, present=present), now)


def _asked(top_up: TopUp, ask: Callable[[], stripe.PaymentIntent], now: datetime) -> TopUp:
    try:
        return settling.take(top_up.pk, intents.SeenPayment.of(ask()), now=now)
    except DeclinedError as error:
        return settling.take(top_up.pk, intents.payment(error.intent), now=now)
    except UnknownError:
        found = settling.look(top_up, now=now)
        if not found.payment_intent:
            raise
        return found
    except RefusedError as error:
        _refused(top_up, error, now)
        raise


def _create(top_up: TopUp, *, present: bool) -> stripe.PaymentIntent:
    card = top_up.card
    if card is None:
        raise ValueError(f"{top_up.public_id} is paid on Stripe's page")
    params: PaymentIntentCreateParams = {
        "amount": top_up.amount,
        "currency": top_up.currency,
        "customer": card.customer,
        "payment_method": card.payment_method,
        "allowed_payment_method_types": ["card"],
        "description": f"{settings.PRODUCT_NAME}: balance of {top_up.organization.name}"[:250],
        "metadata": {"top_up": top_up.public_id, "organization": top_up.organization.public_id},
        "confirm": True,
    }
    if present:
        params["return_url"] = _page(top_up)
    else:
        params["off_session"] = True
    key = f"keymeter:{top_up.public_id}"
    if top_up.attempts > 1:
        # After a refusal, which did nothing.
        key += f":{top_up.attempts}"
    with calling("payment_intents.create") as stripe_:
        return stripe_.payment_intents.create(params, {"idempotency_key": key})


def _confirm(top_up: TopUp, card: SavedCard, *, present: bool) -> stripe.PaymentIntent:
    params: PaymentIntentConfirmParams = {"payment_method": card.payment_method}
    if present:
        params["return_url"] = _page(top_up)
    else:
        params["off_session"] = True
    key = f"keymeter:{top_up.public_id}:{top_up.attempts}"
    with calling("payment_intents.confirm") as stripe_:
        return stripe_.payment_intents.confirm(str(top_up.payment_intent), params, {"idempotency_key": key})


def _page(top_up: TopUp) -> str:
    names = {"org": top_up.organization.public_id, "top_up": top_up.public_id}
    return settings.CONSOLE_URL + reverse("top_up", kwargs=names)


def _refused(top_up: TopUp, error: RefusedError, now: datetime) -> None:
    if error.temporary:
        settling.fail(top_up.pk, "Stripe is busy.", now=now)
        return
    settling.fail(top_up.pk, "The card can't be used any more.", code=error.code, now=now)
    cards.look_soon(top_up.organization, now=now)
    if error.code not in ("resource_missing", "payment_method_unactivated", ""):
        detail = f"{error}. A payment with a saved card was refused: look at the keys and settings of Stripe."
        alarm.raise_alarm("stripe_refuses", "cards", detail, now=now)
