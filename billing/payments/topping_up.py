"""A top-up begins: our row first, committed; then Stripe is asked for a page on which to pay."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models import Organization, User, alarm
from billing.models import SavedCard, TopUp
from billing.payments import customers, settling
from billing.payments.calling import RefusedError, UnknownError, calling, livemode
from billing.payments.currencies import FractionError, nanos_of, smallest_units
from billing.payments.seen import EXPANDED, Seen
from billing.promotions import redeeming

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItemPriceDataProductData

OPEN_FOR = timedelta(hours=1)
"""How long it can be paid. Stripe allows no less than half an hour."""

MOST_OPEN = 20
"""Top-ups of an organization at once that nobody has paid yet."""

LOOK_AFTER = timedelta(minutes=5)


class AmountError(ValueError):
    """Such an amount isn't taken; the message says why."""


class TooManyError(ValueError):
    """There are too many unpaid ones; the message says so."""


class AgainError(ValueError):
    """The same form was sent before: it pays once."""

    def __init__(self, top_up: TopUp) -> None:
        super().__init__(top_up.public_id)
        self.top_up = top_up


def begin(
    organization: Organization,
    nanos: int,
    *,
    saves_card: bool = False,
    card: SavedCard | None = None,
    asked: UUID | None = None,
    actor: User | None,
    now: datetime,
) -> TopUp:
    """Write down what is to be paid; nano-dollars. Raises AmountError, TooManyError, AgainError."""
    if asked and (before := TopUp.objects.filter(organization=organization, asked=asked).first()):
        raise AgainError(before)
    if TopUp.objects.unsettled().filter(organization=organization).count() >= MOST_OPEN:
        raise TooManyError("Too many top-ups wait to be paid. Pay one of them, or wait until they close.")
    wanted = new(organization, amount_of(nanos), nanos, actor=actor, now=now)
    wanted.saves_card, wanted.asked = saves_card, asked
    if card:
        wanted.way, wanted.card, wanted.customer = TopUp.Way.CARD, card, card.customer
    try:
        with transaction.atomic():
            wanted.save(force_insert=True)
    except IntegrityError:
        # Both were sent at once.
        raise AgainError(TopUp.objects.get(organization=organization, asked=asked)) from None
    return wanted


def new(organization: Organization, amount: int, nanos: int, *, actor: User | None, now: datetime) -> TopUp:
    """A top-up at our account and in our mode, not saved yet."""
    return TopUp(
        organization=organization,
        actor=actor,
        amount=amount,
        nanos=nanos,
        currency=settings.CURRENCY,
        account=settings.STRIPE_ACCOUNT,
        livemode=livemode(),
        created_at=now,
        closes_at=now + OPEN_FOR,
        look_at=now + LOOK_AFTER,
    )


def amount_of(nanos: int) -> int:
    """Nano-dollars as the currency's smallest units, where so much may be paid. Raises AmountError."""
    least, most = settings.TOP_UP_LEAST_NANOS, settings.TOP_UP_MOST_NANOS
    if not least <= nanos <= most:
        raise AmountError(f"Choose an amount from ${dollars(least)} to ${dollars(most)}.")
    try:
        return smallest_units(nanos, settings.CURRENCY)
    except FractionError:
        raise AmountError("Choose whole cents.") from None


def dollars(nanos: int) -> str:
    """As people read an amount of whole cents: `1,250` or `12.50`."""
    cents = nanos // nanos_of(1, "usd")
    return f"{cents // 100:,}" if cents % 100 == 0 else f"{cents // 100:,}.{cents % 100:02d}"


def open_checkout(top_up: TopUp, *, now: datetime) -> TopUp:
    """Have the page made on which it is paid: its `pay_url`. Raises RefusedError and UnknownError.

    What is unknown is looked up, and not asked for a second time: whoever wants to pay begins another one.
    """
    try:
        top_up.customer = customers.customer_of(top_up.organization, now=now)
        TopUp.objects.filter(pk=top_up.pk).update(customer=top_up.customer)
        return settling.take(top_up.pk, _create(top_up), now=now)
    except UnknownError:
        found = settling.look(top_up, now=now)
        if not found.pay_url:
            raise
        return found
    except RefusedError as error:
        _refused(top_up, error, now)
        raise


def _create(top_up: TopUp) -> Seen:
    here = settings.CONSOLE_URL + reverse(
        "top_up", kwargs={"org": top_up.organization.public_id, "top_up": top_up.public_id}
    )
    metadata = {"top_up": top_up.public_id, "organization": top_up.organization.public_id}
    params: SessionCreateParams = {
        "mode": "payment",
        "customer": top_up.customer,
        "client_reference_id": top_up.public_id,
        "metadata": metadata,
        "line_items": [
            {
                "price_data": {
                    "currency": top_up.currency,
                    "unit_amount": top_up.amount,
                    "product_data": _product(top_up),
                },
                "quantity": 1,
            }
        ],
        "payment_intent_data": {"metadata": metadata},
        "success_url": here,
        "cancel_url": here,
        "expires_at": int(top_up.closes_at.timestamp()),
        "expand": EXPANDED,
    }
    if top_up.saves_card:
        params["payment_intent_data"]["setup_future_usage"] = "off_session"
    with calling("checkout.sessions.create") as stripe:
        made = stripe.checkout.sessions.create(params, {"idempotency_key": f"keymeter:{top_up.public_id}"})
    return Seen.of(made)


def _product(top_up: TopUp) -> "SessionCreateParamsLineItemPriceDataProductData":
    """What Stripe's page says of it."""
    name = f"{settings.PRODUCT_NAME}: balance of {top_up.organization.name}"[:250]
    code = redeeming.promised(top_up)
    if code is None:
        return {"name": name}
    return {"name": name, "description": f"With promotion code {code}: ${dollars(code.nanos)} more."}


def _refused(top_up: TopUp, error: RefusedError, now: datetime) -> None:
    why = "Stripe is busy." if error.temporary else "The payment page couldn't be made."
    TopUp.objects.filter(pk=top_up.pk, state=TopUp.State.OPEN).update(state=TopUp.State.FAILED, why=why)
    if error.code == "resource_missing":
        customers.forget(top_up.organization)
    elif not error.temporary:
        detail = f"{error}. Nobody can top up until this is mended: look at the keys and settings of Stripe."
        alarm.raise_alarm("stripe_refuses", "top-ups", detail, now=now)
