"""What tests of auto-recharge do, and what must hold after each."""

from datetime import UTC, datetime

from accounts.models import Organization
from billing import ledger
from billing.models import Account, AutoRecharge, Balance, Notice, TopUp, TransactionKind
from billing.payments import recharge_choices, recharging
from billing.proofs.proving import prove
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop

State = TopUp.State


def now() -> datetime:
    return datetime.now(UTC)


def balance(organization: Organization) -> int:
    return Balance.objects.get(organization=organization).nanos // DOLLAR


def right(organization: Organization, shop: Shop, dollars: int) -> None:
    """The books agree, and with Stripe: each PaymentIntent that was paid is one transaction."""
    assert balance(organization) == dollars
    assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}
    paid = {intent.id for intent in shop.stripe.v1.payment_intents.list().data if intent.status == "succeeded"}
    assert paid == set(TopUp.objects.filter(state=State.PAID).values_list("payment_intent", flat=True))


def on(organization: Organization, *, below: int = 10, add: int = 25, cap: int = 100) -> AutoRecharge:
    return recharge_choices.choose(
        organization,
        threshold_nanos=below * DOLLAR,
        amount_nanos=add * DOLLAR,
        monthly_cap_nanos=cap * DOLLAR,
        actor=None,
        now=now(),
    )


def again(organization: Organization, at: datetime) -> TopUp | None:
    return recharging.recharge(organization.pk, now=at)


def told() -> list[str]:
    notices = Notice.objects.filter(kind="card").order_by("pk")
    return [notice.facts["event"] for notice in notices]


def use(organization: Organization, nanos: int, key: str) -> None:
    movement = ledger.Movement(
        operation_key=f"use:{key}",
        kind=TransactionKind.ADJUSTMENT,
        organization_id=organization.pk,
        nanos=-nanos,
        counter=Account.PROMOTIONS,
        event_day=now().date(),
    )
    ledger.post([movement], now=now())
