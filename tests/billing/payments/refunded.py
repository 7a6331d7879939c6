"""What tests of refunds do, and what must hold after each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Organization
from billing import ledger
from billing.models import Account, Balance, Refund, TopUp, TransactionKind
from billing.payments import healing, refunding, settling
from billing.proofs.proving import prove
from tests.cast import DOLLAR, make_user
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin, pay

pytestmark = pytest.mark.django_db(transaction=True)
REFUNDS = "POST /v1/refunds"
State = Refund.State


def now() -> datetime:
    return datetime.now(UTC)


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


def spend(organization: Organization, nanos: int) -> None:
    """As usage does."""
    movement = ledger.Movement(
        operation_key=f"spent:{uuid4()}",
        kind=TransactionKind.ADJUSTMENT,
        organization_id=organization.pk,
        nanos=-nanos,
        counter=Account.PROMOTIONS,
        event_day=now().date(),
    )
    ledger.post([movement], now=now())


def books(organization: Organization, nanos: int) -> None:
    """The balance is that, and every proof holds."""
    assert balance(organization) == nanos
    # Nobody closes days here.
    assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}


def pay_and_settle(organization: Organization, number: str = "4242424242424242", dollars: int = 25) -> TopUp:
    top_up = begin(organization, dollars)
    pay(top_up, number)
    return settling.look(top_up, now=now())


def ask(top_up: TopUp, nanos: int = 25 * DOLLAR, **fields: Any) -> Refund:
    actor = fields.pop("actor", None) or make_user(f"{uuid4()}@example.com", is_staff=True)
    wanted = {"reason": "asked for", "may_owe": False, "request_id": uuid4(), "now": now(), **fields}
    return refunding.begin(top_up, nanos, actor=actor, **wanted)


def refund(top_up: TopUp, nanos: int = 25 * DOLLAR, **fields: Any) -> Refund:
    return refunding.send(ask(top_up, nanos, **fields), now=now())


def order(shop: Shop, fault: str, route: str = REFUNDS, **fields: Any) -> None:
    shop.control("faults", {"fault": fault, "route": route, **fields})


def at_stripe(shop: Shop, top_up: TopUp, **fields: Any) -> Any:
    """Somebody refunds in Stripe's dashboard."""
    return shop.stripe.v1.refunds.create({"payment_intent": str(top_up.payment_intent), **fields})  # type: ignore[typeddict-item]


def heal(hours: int = 0) -> int:
    return healing.heal(lambda: now() + timedelta(hours=hours))
