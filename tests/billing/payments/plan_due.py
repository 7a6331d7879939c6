"""What tests of plan fees by card look at."""

from datetime import UTC, datetime, timedelta

from billing.models import Balance, LedgerTransaction, Subscription, TopUp
from billing.plans import renewing
from billing.proofs.proving import prove
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop

FEE = 20
State = TopUp.State


def now() -> datetime:
    return datetime.now(UTC)


def night(number: int) -> datetime:
    """A minute past midnight, so many nights on."""
    return renewing.next_night(now()) + timedelta(days=number - 1, minutes=1)


def counted(**wanted: int) -> dict[str, int]:
    return {"renewed": 0, "failed": 0, "ended": 0, "put off": 0, "waiting": 0, "broken": 0} | wanted


def right(shop: Shop, *, charged: int, period: int, dollars: int = 3) -> None:
    """So often was the card charged; the books agree with each other and with Stripe."""
    paid = [intent.id for intent in shop.stripe.v1.payment_intents.list().data if intent.status == "succeeded"]
    assert len(paid) == charged
    assert set(paid) == set(TopUp.objects.filter(state=State.PAID).values_list("payment_intent", flat=True))
    assert Subscription.objects.get().number == period
    assert LedgerTransaction.objects.filter(operation_key__endswith=":fee").count() == period
    assert Balance.objects.get().nanos == dollars * DOLLAR
    assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}
