"""Plan fees by saved card: one that says no is asked on schedule, and a bank that asks gets its customer."""

from datetime import timedelta

import pytest

from billing.models import (
    Notice,
    Subscription,
    TopUp,
)
from billing.payments import charging, healing, plan_fees
from billing.plans import renewing
from billing.plans.renewing import renew_due
from tests.billing.payments.plan_due import counted, night, now, right
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
DECLINES = "pm_card_chargeCustomerFail"
State = TopUp.State


class TestDunning:
    def test_a_card_that_declines_is_asked_on_schedule_and_then_the_plan_ends(
        self, subscription: Subscription, shop: Shop
    ) -> None:
        save_card(shop, subscription.organization, DECLINES)
        attempts = []
        for number in range(9):
            renew_due(now() if number == 0 else night(number))
            attempts.append(TopUp.objects.get().attempts)
        assert attempts == [1, 2, 2, 3, 3, 4, 4, 4, 4]
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        ended = Subscription.objects.get().ended_at
        assert ended and ended == night(8)
        assert [notice.facts["event"] for notice in Notice.objects.filter(kind="card")] == ["plan_declined"] * 4
        right(shop, charged=0, period=1)

    def test_another_card_pays_the_next_time_by_the_same_payment(self, subscription: Subscription, shop: Shop) -> None:
        bad = save_card(shop, subscription.organization, DECLINES)
        assert renew_due(now()) == counted(failed=1)
        save_card(shop, subscription.organization)
        shop.stripe.v1.payment_methods.detach(bad.payment_method)
        healing.cards.look(subscription.organization, now=now())
        assert renew_due(night(1)) == counted(renewed=1)
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        right(shop, charged=1, period=2)
        assert Subscription.objects.get().past_due_since is None

    def test_a_person_tries_at_once_but_not_again_and_again(self, subscription: Subscription, shop: Shop) -> None:
        save_card(shop, subscription.organization, DECLINES)
        renew_due(now())
        for minutes in (0, 2, 2):
            plan_fees.ask_again(subscription.organization, now=now() + timedelta(minutes=minutes))
            renewing.pay_now(subscription.organization, now=now() + timedelta(minutes=minutes))
        assert TopUp.objects.get().attempts == 2
        right(shop, charged=0, period=1)

    @pytest.mark.parametrize("fault", ["error_after", "cut"])
    def test_kill_bill_1015_a_second_attempt_whose_answer_was_lost_pays_once(
        self, subscription: Subscription, shop: Shop, fault: str
    ) -> None:
        bad = save_card(shop, subscription.organization, DECLINES)
        renew_due(now())
        save_card(shop, subscription.organization)
        shop.stripe.v1.payment_methods.detach(bad.payment_method)
        healing.cards.look(subscription.organization, now=now())
        shop.control("faults", {"fault": fault, "route": CONFIRM})
        renew_due(night(1))
        renew_due(night(2))
        right(shop, charged=1, period=2)

    def test_a_card_that_is_gone_at_stripe_is_replaced(self, subscription: Subscription, shop: Shop) -> None:
        gone = save_card(shop, subscription.organization)
        shop.stripe.v1.payment_methods.detach(gone.payment_method)
        renew_due(now())
        save_card(shop, subscription.organization)
        assert renew_due(night(1)) == counted(renewed=1)
        right(shop, charged=1, period=2)


class TestTheBankWantsItsCustomer:
    def test_confirmed_the_plan_is_renewed(self, subscription: Subscription, told: Shop) -> None:
        save_card(told, subscription.organization, "pm_card_authenticationRequired")
        assert renew_due(now()) == counted(failed=1)
        top_up = TopUp.objects.select_related("organization", "card").get()
        assert top_up.awaits_customer and top_up.card
        assert Notice.objects.get(kind="card").facts["event"] == "plan_confirm"
        page = charging.confirm(top_up, top_up.card, present=True, now=now()).pay_url
        visit(page, outcome="complete")
        told.quiet()
        right(told, charged=1, period=2)

    def test_after_the_plan_has_ended_nothing_is_left_to_confirm(self, subscription: Subscription, told: Shop) -> None:
        save_card(told, subscription.organization, "pm_card_authenticationRequired")
        renew_due(now())
        top_up = TopUp.objects.select_related("organization", "card").get()
        assert top_up.card
        page = charging.confirm(top_up, top_up.card, present=True, now=now()).pay_url
        renew_due(night(8))
        healing.heal(lambda: night(10))
        visit(page, outcome="complete")
        told.quiet()
        right(told, charged=0, period=1)
