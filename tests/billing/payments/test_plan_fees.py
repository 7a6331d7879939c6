"""Plan fees by saved card: each period's fee is charged once at most, whatever dies or isn't known."""

from datetime import timedelta

import pytest

from accounts.models import Organization
from billing.models import (
    Balance,
    Subscription,
    SubscriptionEvent,
    TopUp,
)
from billing.payments import charging, healing, plan_fees, topping_up
from billing.plans import renewing
from billing.plans.renewing import renew_due
from tests.at_once import at_once
from tests.billing.payments.plan_due import FEE, counted, now, right
from tests.cast import DOLLAR, give_credit, make_plan
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import begin, pay, save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
DECLINES = "pm_card_chargeCustomerFail"
State = TopUp.State


class TestPaid:
    def test_the_card_pays_the_whole_fee_where_the_balance_does_not_cover_it(
        self, subscription: Subscription, shop: Shop
    ) -> None:
        save_card(shop, subscription.organization)
        assert renew_due(now()) == counted(renewed=1)
        top_up = TopUp.objects.get()
        assert (top_up.way, top_up.nanos, top_up.period) == (TopUp.Way.PLAN, FEE * DOLLAR, 2)
        right(shop, charged=1, period=2)
        assert renew_due(now()) == counted()

    def test_a_balance_that_covers_it_is_used_first(self, subscription: Subscription, shop: Shop) -> None:
        save_card(shop, subscription.organization)
        give_credit(subscription.organization, 17 * DOLLAR, key="more")
        assert renew_due(now()) == counted(renewed=1)
        right(shop, charged=0, period=2, dollars=0)

    def test_a_debt_is_no_obstacle_and_stays(self, subscription: Subscription, shop: Shop) -> None:
        from tests.billing.plans.conftest import use

        save_card(shop, subscription.organization)
        use(subscription.organization, 5 * DOLLAR, now=now(), key="late")
        assert renew_due(now()) == counted(renewed=1)
        right(shop, charged=1, period=2, dollars=-2)

    def test_fractions_of_a_cent_stay_on_the_balance(self, subscription: Subscription, shop: Shop) -> None:
        save_card(shop, subscription.organization)
        version = make_plan("odd", fee_nanos=FEE * DOLLAR + 1, included_credit_nanos=0)
        Subscription.objects.update(next_version=version)
        assert renew_due(now()) == counted(renewed=1)
        assert TopUp.objects.get().amount == 2001
        assert Balance.objects.get().nanos == 3 * DOLLAR + 9_999_999

    @pytest.mark.parametrize("change", ["not asked", "no card", "suspended"])
    def test_otherwise_no_card_is_charged(self, subscription: Subscription, shop: Shop, change: str) -> None:
        if change != "no card":
            save_card(shop, subscription.organization)
        if change == "not asked":
            plan_fees.let_pay(subscription.organization, by_card=False, actor=None, now=now())
        if change == "suspended":
            Organization.objects.update(suspended_at=now())
        assert renew_due(now()) == counted(failed=1)
        right(shop, charged=0, period=1)


class TestOnce:
    def test_two_renewals_at_once_charge_once(self, subscription: Subscription, shop: Shop) -> None:
        save_card(shop, subscription.organization)
        assert at_once(*[lambda: renew_due(now())] * 3) == []
        right(shop, charged=1, period=2)
        assert not SubscriptionEvent.objects.filter(kind="past_due").exists()

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_kill_bill_1015_an_unknown_outcome_is_looked_up_not_repeated(
        self, subscription: Subscription, shop: Shop, fault: str
    ) -> None:
        save_card(shop, subscription.organization)
        shop.control("faults", {"fault": fault, "route": CREATE})
        shop.control("faults", {"fault": "error_before", "route": CREATE.replace("POST", "GET")})
        assert renew_due(now()) == counted(waiting=1)
        assert renew_due(now()) == counted(renewed=1)
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        right(shop, charged=1, period=2)

    def test_the_webhook_alone_renews(self, subscription: Subscription, told: Shop) -> None:
        """Killed right after Stripe had been asked."""
        save_card(told, subscription.organization)

        class KilledError(BaseException):
            pass

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        with pytest.MonkeyPatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(charging.intents.SeenPayment, "of", killed)
            renew_due(now())
        TopUp.objects.update(look_at=now())
        told.quiet()
        healing.heal(now)
        right(told, charged=1, period=2)

    def test_killed_before_stripe_was_asked_it_is_asked_ten_minutes_later(
        self, subscription: Subscription, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_card(shop, subscription.organization)

        class KilledError(BaseException):
            pass

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        with monkeypatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(charging, "charge", killed)
            renew_due(now())
        assert renew_due(now()) == counted(waiting=1)
        assert renew_due(now() + timedelta(minutes=11)) == counted(renewed=1)
        right(shop, charged=1, period=2)

    def test_a_request_that_failed_and_is_not_there_is_sent_again_with_the_same_key(
        self, subscription: Subscription, shop: Shop
    ) -> None:
        save_card(shop, subscription.organization)
        shop.control("faults", {"fault": "error_before", "route": CREATE})
        assert renew_due(now()) == counted(waiting=1)
        assert renew_due(now() + timedelta(minutes=11)) == counted(renewed=1)
        right(shop, charged=1, period=2)

    def test_lago_5708_what_was_paid_on_an_open_page_is_enough(self, subscription: Subscription, shop: Shop) -> None:
        """There, an open checkout and the automatic charge were both captured."""
        save_card(shop, subscription.organization)
        pay(begin(subscription.organization, FEE))
        assert renew_due(now()) == counted(renewed=1)
        right(shop, charged=1, period=2)

    def test_lago_5708_an_open_page_is_closed_before_the_card_is_charged(
        self, subscription: Subscription, shop: Shop
    ) -> None:
        save_card(shop, subscription.organization)
        page = begin(subscription.organization, FEE)
        assert renew_due(now()) == counted(renewed=1)
        assert pay(page).status != 303
        right(shop, charged=1, period=2)

    def test_what_the_balance_paid_meanwhile_is_not_charged_as_well(
        self, subscription: Subscription, told: Shop
    ) -> None:
        save_card(told, subscription.organization, "pm_card_authenticationRequired")
        renew_due(now())
        page = charging.confirm(TopUp.objects.get(), TopUp.objects.get().card, present=True, now=now()).pay_url  # type: ignore[arg-type]
        # A webhook that looks the payment up now would put healing's next look off.
        told.quiet()
        give_credit(subscription.organization, FEE * DOLLAR, key="more")
        renewing.pay_now(subscription.organization, now=now())
        healing.heal(now)
        visit(page, outcome="complete")
        told.quiet()
        right(told, charged=0, period=2)


def test_money_that_comes_after_another_way_paid_is_the_balances(subscription: Subscription, shop: Shop) -> None:
    """However unlikely: it is credited, and pays no fee twice."""
    save_card(shop, subscription.organization)
    card = save_card(shop, subscription.organization)
    give_credit(subscription.organization, FEE * DOLLAR, key="more")
    top_up = topping_up.new(subscription.organization, FEE * 100, FEE * DOLLAR, actor=None, now=now())
    top_up.way, top_up.card, top_up.customer = TopUp.Way.PLAN, card, card.customer
    top_up.subscription, top_up.period = subscription, 2
    top_up.save()
    assert renew_due(now()) == counted(renewed=1)
    charging.charge(top_up, present=False, now=now())
    right(shop, charged=1, period=2, dollars=3 + FEE)
