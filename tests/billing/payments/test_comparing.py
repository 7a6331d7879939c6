"""The night's comparison with Stripe: what differs is found on either side, shown, and repaired by what settles all."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Alarm, AuditEntry, Organization
from billing.models import Dispute, PaymentDifference, Refund, TopUp, WebhookEvent
from billing.nightly import comparing as step
from billing.nightly.clearing import forget_webhooks
from billing.nightly.shape import FoundWrongError, Night, NotReadyError
from billing.payments import calling, differences, refunds
from tests.billing.payments.refunded import at_stripe, books, now, pay_and_settle, refund
from tests.billing.payments.test_disputes import decide, hear, open_dispute
from tests.cast import DOLLAR, make_user
from tests.devstack.stripeserver.shop import Shop
from tests.paying import Json, Twisted, begin, pay

pytestmark = pytest.mark.django_db(transaction=True)


def today() -> date:
    return now().date()


def find() -> tuple[int, int]:
    return differences.find(today(), now)


def found() -> str:
    """The one difference, in words."""
    assert find()[1] == 1
    return PaymentDifference.objects.get(closed_at=None).what


def repair() -> bool:
    actor = make_user(f"{now().timestamp()}@example.com", is_staff=True)
    return differences.repair(PaymentDifference.objects.get(closed_at=None), actor=actor, now=now())


class TestAgreeing:
    def test_where_both_sides_agree_nothing_is_found(self, paid: TopUp, shop: Shop) -> None:
        refund(paid, 5 * DOLLAR)
        second = pay_and_settle(paid.organization)
        hear(open_dispute(shop, second))
        begin(paid.organization)
        assert find() == (4, 0)
        assert not Alarm.objects.filter(kind="payments_differ").exists()

    def test_payments_of_others_are_left_alone(self, organization: Organization, shop: Shop) -> None:
        foreign = shop.pay()
        shop.stripe.v1.refunds.create({"payment_intent": foreign.id, "amount": 100})
        shop.control("disputes", {"charge": shop.pay().latest_charge})
        assert find()[1] == 0

    def test_a_day_without_anything(self, paid: TopUp) -> None:
        assert differences.find(today() - timedelta(days=3), now) == (0, 0)


class TestWhatStripeHasAndWeDoNot:
    def test_a_payment_that_was_never_credited(self, organization: Organization, shop: Shop) -> None:
        top_up = begin(organization)
        pay(top_up)
        TopUp.objects.update(state=TopUp.State.EXPIRED)
        assert "2500 usd were paid, and here nothing is credited" in found()
        assert repair()
        books(organization, 25 * DOLLAR)
        assert AuditEntry.objects.get(action="payment.repair").organization == organization

    def test_a_refund(self, paid: TopUp, shop: Shop) -> None:
        at_stripe(shop, paid, amount=700)
        assert "700 usd are refunded, and here nothing is taken" in found()
        assert repair()
        books(paid.organization, 18 * DOLLAR)

    def test_a_dispute_and_its_end(self, paid: TopUp, shop: Shop) -> None:
        dispute = open_dispute(shop, paid)
        assert "a dispute about 2500 usd, and here none" in found()
        assert repair()
        books(paid.organization, 0)
        decide(shop, dispute, "won")
        assert "won and the money not taken, or given back" in found()
        assert repair()
        books(paid.organization, 25 * DOLLAR)

    def test_a_payment_of_a_top_up_that_is_not_there(self, organization: Organization, shop: Shop) -> None:
        shop.pay(metadata={"top_up": "top_nothing"})
        assert "here is no top-up top_nothing" in found()
        assert not repair()

    def test_a_refund_that_failed(self, organization: Organization, shop: Shop) -> None:
        refund(pay_and_settle(organization, "4000000000005126"))
        shop.quiet()
        assert "At Stripe it is failed, and here" in found()
        assert repair()
        books(organization, 25 * DOLLAR)


class TestWhatWeHaveAndStripeDoesNot:
    def test_a_payment(self, paid: TopUp) -> None:
        TopUp.objects.update(payment_intent="pi_nothing")
        find()
        words = set(PaymentDifference.objects.filter(closed_at=None).values_list("stripe_id", "what"))
        assert ("pi_nothing", "At Stripe there is none such") in words

    def test_a_refund_or_a_dispute(self, paid: TopUp, shop: Shop) -> None:
        refund(paid, 5 * DOLLAR)
        hear(open_dispute(shop, paid))
        Refund.objects.update(stripe_id="re_nothing")
        Dispute.objects.update(stripe_id="du_nothing")
        find()
        words = set(PaymentDifference.objects.values_list("stripe_id", "what"))
        gone = "At Stripe there is none such"
        assert {("re_nothing", gone), ("du_nothing", gone)} <= words

    def test_one_that_was_begun_the_day_before_is_asked_for(self, paid: TopUp, shop: Shop, twist: Twisted) -> None:
        def empty(path: str, answer: Json) -> None:
            if path.startswith("/v1/payment_intents?"):
                answer["data"] = []

        twist.twist = empty
        assert find() == (1, 0)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"amount_received": 2400}, "At Stripe 2400 usd were paid, and here 2500 usd are credited"),
            ({"currency": "eur"}, "At Stripe 2500 eur were paid"),
            ({"status": "canceled"}, "At Stripe it isn't paid, and here 2500 usd are credited"),
        ],
    )
    def test_a_payment_that_is_another_there(self, paid: TopUp, twist: Twisted, change: Json, words: str) -> None:
        def changed(path: str, answer: Json) -> None:
            for intent in answer.get("data", []) if path.startswith("/v1/payment_intents?") else []:
                intent.update(change)

        twist.twist = changed
        assert words in found()


class TestDifferences:
    def test_the_same_one_is_a_row_and_goes_when_both_agree(self, paid: TopUp, shop: Shop) -> None:
        made = at_stripe(shop, paid, amount=700)
        for _ in range(2):
            find()
        assert PaymentDifference.objects.count() == 1
        refunds.hear(made.id, now=now())
        assert find()[1] == 0
        row = PaymentDifference.objects.get()
        assert (row.closed_at is None, row.closed_by) == (False, None)

    def test_one_of_an_earlier_day_is_compared_again(self, paid: TopUp, shop: Shop) -> None:
        made = at_stripe(shop, paid, amount=700)
        find()
        assert differences.find(today() - timedelta(days=3), now) == (0, 1)
        refunds.hear(made.id, now=now())
        assert differences.find(today() - timedelta(days=3), now) == (0, 0)


class TestTheStep:
    def night(self) -> Night:
        return Night(today() + timedelta(days=1), now)

    def test_it_heals_and_then_compares_the_day_before(self, paid: TopUp, shop: Shop) -> None:
        at_stripe(shop, paid, amount=700)
        assert step.compare(self.night()) == {"objects compared": 2}
        books(paid.organization, 18 * DOLLAR)

    def test_what_differs_is_told(self, paid: TopUp, shop: Shop) -> None:
        shop.pay(metadata={"top_up": "top_nothing"})
        with pytest.raises(FoundWrongError, match="Differences: 1"):
            step.compare(self.night())
        assert Alarm.objects.get(kind="payments_differ")

    def test_while_stripe_is_away_it_waits(self, paid: TopUp, settings: Any) -> None:
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        with pytest.raises(NotReadyError):
            step.compare(self.night())

    def test_without_stripe_there_is_nothing_to_do(self, db: None, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        assert not calling.offered()
        assert step.compare(self.night()) == {"stripe": "isn't set up"}


@pytest.mark.parametrize(("days", "kept"), [(90, {29, 89, 91}), (1, {29, 91}), (0, {29, 89, 91, 100})])
def test_events_are_forgotten_after_a_while(db: None, settings: Any, days: int, kept: set[int]) -> None:
    settings.STRIPE_EVENT_DAYS = days
    moment = datetime(2026, 3, 10, tzinfo=UTC)
    for age, handled in ((29, True), (89, True), (91, False), (100, True)):
        WebhookEvent.objects.create(
            event_id=f"evt_{age}",
            kind="x",
            about="x",
            livemode=False,
            received_at=moment - timedelta(days=age),
            handled_at=moment if handled else None,
        )
    forget_webhooks(moment)
    left = {(moment - at).days for at in WebhookEvent.objects.values_list("received_at", flat=True)}
    # What waits to be handled stays.
    assert left == kept
