"""What Stripe says of a Checkout Session, read once into a typed object."""

from dataclasses import dataclass
from typing import Protocol

import stripe

from billing.models import TopUp

EXPANDED = ["payment_intent"]
"""What has to be asked for along with a session."""


@dataclass(frozen=True)
class SeenIntent:
    """A PaymentIntent. `received` is in the currency's smallest unit."""

    id: str
    status: str
    received: int
    currency: str
    livemode: bool
    customer: str

    @classmethod
    def of(cls, intent: stripe.PaymentIntent) -> "SeenIntent":
        return cls(
            id=intent.id,
            status=intent.status,
            received=intent.amount_received or 0,
            currency=intent.currency,
            livemode=intent.livemode,
            customer=id_of(intent.customer),
        )


class Sighting(Protocol):
    """What was seen of a top-up at Stripe: a Checkout Session here, a saved card's payment in `intents`."""

    @property
    def session(self) -> str | None: ...
    @property
    def intent(self) -> SeenIntent | None: ...
    @property
    def url(self) -> str: ...
    @property
    def paid(self) -> bool: ...
    @property
    def state(self) -> TopUp.State: ...
    @property
    def decline(self) -> str: ...
    @property
    def why(self) -> str: ...

    def differences(self, top_up: TopUp) -> list[str]: ...


@dataclass(frozen=True)
class Seen:
    """A Checkout Session. `amount` is in the currency's smallest unit, `reference` our top-up's public id."""

    id: str
    reference: str
    organization: str
    mode: str
    status: str
    payment_status: str
    amount: int
    currency: str
    livemode: bool
    customer: str
    url: str
    intent: SeenIntent | None

    @classmethod
    def of(cls, session: stripe.checkout.Session) -> "Seen":
        """Of one that was asked for with EXPANDED."""
        return cls(
            id=session.id,
            reference=session.client_reference_id or "",
            organization=told(session.metadata, "organization"),
            mode=session.mode,
            status=session.status or "",
            payment_status=session.payment_status,
            amount=session.amount_total or 0,
            currency=session.currency or "",
            livemode=session.livemode,
            customer=id_of(session.customer),
            url=session.url or "",
            intent=_intent(session.payment_intent),
        )

    decline = ""

    @property
    def session(self) -> str:
        return self.id

    @property
    def why(self) -> str:
        return "The payment didn't go through." if self.state == TopUp.State.FAILED else ""

    @property
    def paid(self) -> bool:
        return self.payment_status == "paid"

    @property
    def state(self) -> TopUp.State:
        """What it means for a top-up."""
        if self.paid:
            return TopUp.State.PAID
        if self.status == "expired":
            return TopUp.State.EXPIRED
        if self.status == "open":
            return TopUp.State.OPEN
        # The customer is done and the money isn't there: a bank takes its time, or has said no.
        failed = self.intent is not None and self.intent.status in ("requires_payment_method", "canceled")
        return TopUp.State.FAILED if failed else TopUp.State.PROCESSING

    def differences(self, top_up: TopUp) -> list[str]:
        """What doesn't fit our row, in words. Money is credited only where nothing is."""
        wanted = {
            "reference": (top_up.public_id, self.reference),
            "organization": (top_up.organization.public_id, self.organization),
            "session": (top_up.checkout_session or self.id, self.id),
            "mode": ("payment", self.mode),
            "amount": (top_up.amount, self.amount),
            "currency": (top_up.currency, self.currency),
            "live mode": (top_up.livemode, self.livemode),
            "customer": (top_up.customer, self.customer),
        }
        if self.intent:
            wanted["payment's currency"] = (top_up.currency, self.intent.currency)
            wanted["payment's live mode"] = (top_up.livemode, self.intent.livemode)
            wanted["payment's customer"] = (top_up.customer, self.intent.customer)
        if self.paid:
            status, received = (self.intent.status, self.intent.received) if self.intent else ("none", 0)
            wanted["payment's status"] = ("succeeded", status)
            wanted["amount received"] = (top_up.amount, received)
        return [f"{what} is {is_!r}, not {ours!r}" for what, (ours, is_) in wanted.items() if ours != is_]


def told(metadata: stripe.StripeObject | None, name: str) -> str:
    """What we told Stripe to keep beside an object."""
    return str(metadata[name]) if metadata and name in metadata else ""


def id_of(thing: object) -> str:
    """Of an object that may have been expanded."""
    return thing if isinstance(thing, str) else str(getattr(thing, "id", "") or "")


def _intent(thing: object) -> SeenIntent | None:
    return SeenIntent.of(thing) if isinstance(thing, stripe.PaymentIntent) else None
