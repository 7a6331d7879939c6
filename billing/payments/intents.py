"""What Stripe says of a payment with a saved card: its PaymentIntent, read once into a typed object."""

from dataclasses import dataclass

import stripe
from stripe import V1Services

from billing.models import TopUp
from billing.models.payment import AUTHENTICATION
from billing.payments import searching
from billing.payments.calling import RefusedError, calling, if_there
from billing.payments.seen import SeenIntent, told

DECLINES = {
    AUTHENTICATION: "The bank wants you to confirm the payment.",
    "insufficient_funds": "The card has insufficient funds.",
    "expired_card": "The card has expired.",
    "payment_intent_authentication_failure": "The payment wasn't confirmed at the bank.",
}
"""Stripe's codes that are worth telling a customer; the others all mean that the card was declined."""


@dataclass(frozen=True)
class SeenPayment:
    """A PaymentIntent that we asked a saved card for. `wanted` is in the currency's smallest unit.

    `code` is why the card said no at last; `url` is where its customer confirms, while the bank waits for that.
    """

    intent: SeenIntent
    reference: str
    organization: str
    wanted: int
    code: str
    url: str

    session = None

    @classmethod
    def of(cls, intent: stripe.PaymentIntent) -> "SeenPayment":
        redirect = getattr(intent.next_action, "redirect_to_url", None)
        return cls(
            intent=SeenIntent.of(intent),
            reference=told(intent.metadata, "top_up"),
            organization=told(intent.metadata, "organization"),
            wanted=intent.amount,
            code=_code(intent),
            url=(redirect.url or "") if redirect else "",
        )

    @property
    def paid(self) -> bool:
        return self.intent.status == "succeeded"

    @property
    def state(self) -> TopUp.State:
        """What it means for a top-up. One that waits for its customer is open."""
        if self.paid:
            return TopUp.State.PAID
        if self.intent.status == "processing":
            return TopUp.State.PROCESSING
        no = self.intent.status == "requires_payment_method" and self.code not in ("", AUTHENTICATION)
        return TopUp.State.FAILED if no or self.intent.status == "canceled" else TopUp.State.OPEN

    @property
    def decline(self) -> str:
        return "" if self.paid else self.code[:60]

    @property
    def why(self) -> str:
        """For its customer."""
        if self.code:
            return DECLINES.get(self.code, "The card was declined.")
        return "" if self.state != TopUp.State.FAILED else "It wasn't paid in time."

    def differences(self, top_up: TopUp) -> list[str]:
        """What doesn't fit our row, in words. Money is credited only where nothing is."""
        wanted = {
            "reference": (top_up.public_id, self.reference),
            "organization": (top_up.organization.public_id, self.organization),
            "payment": (top_up.payment_intent or self.intent.id, self.intent.id),
            "amount": (top_up.amount, self.wanted),
            "currency": (top_up.currency, self.intent.currency),
            "live mode": (top_up.livemode, self.intent.livemode),
            "customer": (top_up.customer, self.intent.customer),
        }
        if self.paid:
            wanted["amount received"] = (top_up.amount, self.intent.received)
        return [f"{what} is {is_!r}, not {ours!r}" for what, (ours, is_) in wanted.items() if ours != is_]


def payment(intent_id: str) -> SeenPayment | None:
    """A PaymentIntent as it is now; None where there is none of that id."""
    return if_there(
        "payment_intents.retrieve", lambda stripe: SeenPayment.of(stripe.payment_intents.retrieve(intent_id))
    )


def payment_of(top_up: TopUp) -> SeenPayment | None:
    """A top-up's, also where nobody knows whether it was made; None where Stripe doesn't know its customer."""
    if top_up.payment_intent:
        return payment(top_up.payment_intent)
    return if_there("payment_intents.list", lambda stripe: _found(stripe, top_up))


def _found(stripe: V1Services, top_up: TopUp) -> SeenPayment | None:
    since = searching.since(top_up.created_at)
    listed = stripe.payment_intents.list({"customer": top_up.customer, "created": {"gte": since}, "limit": 100})
    found = searching.first(listed, lambda intent: told(intent.metadata, "top_up") == top_up.public_id)
    return SeenPayment.of(found) if found else None


def withdraw(seen: SeenPayment) -> SeenPayment | None:
    """Give up one that isn't paid: from then on it can't be. What it is now, which may be paid."""
    try:
        with calling("payment_intents.cancel") as stripe:
            return SeenPayment.of(stripe.payment_intents.cancel(seen.intent.id))
    except RefusedError:
        # It went on meanwhile.
        return payment(seen.intent.id)


def _code(intent: stripe.PaymentIntent) -> str:
    error = intent.last_payment_error
    # Stripe leaves out what an error hasn't.
    return str(getattr(error, "decline_code", None) or getattr(error, "code", None) or "") if error else ""
