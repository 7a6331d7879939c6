"""What Stripe says of refunds and disputes, read once into typed objects. Amounts are in the smallest unit."""

from dataclasses import dataclass
from datetime import UTC, datetime

import stripe

from billing.models import Refund, TopUp
from billing.payments.seen import id_of, told

_STATES = {
    "pending": Refund.State.PENDING,
    "requires_action": Refund.State.PENDING,
    "succeeded": Refund.State.DONE,
    "failed": Refund.State.FAILED,
    "canceled": Refund.State.FAILED,
}
CLOSED = frozenset({"won", "lost", "warning_closed", "prevented"})


@dataclass(frozen=True)
class SeenRefund:
    """A refund. `reference` is our public id, where it is ours."""

    id: str
    reference: str
    payment_intent: str
    amount: int
    currency: str
    status: str
    created: datetime

    @classmethod
    def of(cls, refund: stripe.Refund) -> "SeenRefund":
        return cls(
            id=refund.id,
            reference=told(refund.metadata, "refund"),
            payment_intent=id_of(refund.payment_intent),
            amount=refund.amount,
            currency=refund.currency,
            status=refund.status or "",
            created=_moment(refund.created),
        )

    @property
    def state(self) -> Refund.State:
        """A word that Stripe may have tomorrow is taken for the money being on its way."""
        return _STATES.get(self.status, Refund.State.PENDING)

    def differences(self, top_up: TopUp) -> list[str]:
        """What doesn't fit the payment, in words."""
        return _differences({"currency": (top_up.currency, self.currency)})


@dataclass(frozen=True)
class SeenDispute:
    """A dispute. `withdrawn` and `reinstated` say whether the money was taken, and given back."""

    id: str
    payment_intent: str
    amount: int
    currency: str
    livemode: bool
    status: str
    reason: str
    created: datetime
    due_by: datetime | None
    withdrawn: bool
    reinstated: bool

    @classmethod
    def of(cls, dispute: stripe.Dispute) -> "SeenDispute":
        moved = [entry.amount for entry in dispute.balance_transactions]
        due = dispute.evidence_details.due_by
        return cls(
            id=dispute.id,
            payment_intent=id_of(dispute.payment_intent),
            amount=dispute.amount,
            currency=dispute.currency,
            livemode=dispute.livemode,
            status=dispute.status,
            reason=dispute.reason,
            created=_moment(dispute.created),
            due_by=_moment(due) if due else None,
            withdrawn=any(amount < 0 for amount in moved),
            reinstated=any(amount > 0 for amount in moved),
        )

    @property
    def closed(self) -> bool:
        return self.status in CLOSED

    @property
    def inquiry(self) -> bool:
        """The bank only asks: it has taken nothing."""
        return self.status.startswith("warning")

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come: what was won may be given back, and what was lost taken, a moment later."""
        if self.status == "won":
            return self.reinstated or not self.withdrawn
        return self.closed and (self.withdrawn or self.status != "lost")

    def differences(self, top_up: TopUp) -> list[str]:
        """What doesn't fit the payment, in words."""
        return _differences(
            {"currency": (top_up.currency, self.currency), "live mode": (top_up.livemode, self.livemode)}
        )


def _differences(wanted: dict[str, tuple[object, object]]) -> list[str]:
    return [f"{what} is {is_!r}, not {ours!r}" for what, (ours, is_) in wanted.items() if ours != is_]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
