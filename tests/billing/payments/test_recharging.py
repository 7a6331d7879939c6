"""Auto-recharge: when it is due, and within the month's limit."""

from datetime import timedelta

import pytest

from accounts.models import Organization
from billing import tasks
from billing.models import AutoRecharge, TopUp
from billing.payments import recharge_choices, recharging, topping_up
from tests.billing.payments.refilling import again, now, on, right, told, use
from tests.cast import DOLLAR, give_credit
from tests.devstack.stripeserver.shop import Shop
from tests.paying import save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
DECLINES = "pm_card_chargeCustomerFail"
State = TopUp.State


class TestWhen:
    def test_below_the_threshold_the_default_card_refills_it(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        top_up = again(low, now())
        assert top_up
        assert (top_up.state, top_up.way, top_up.actor) == (State.PAID, TopUp.Way.RECHARGE, None)
        right(low, shop, 29)
        assert again(low, now()) is None

    def test_a_posting_that_takes_the_balance_below_it_asks_for_it(
        self, organization: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(tasks.recharge_balance, "apply_async", lambda arguments, **_: asked.extend(arguments))
        give_credit(organization, 12 * DOLLAR)
        on(organization)
        asked.clear()
        use(organization, 2 * DOLLAR, "1")
        assert asked == []
        use(organization, 1, "2")
        assert asked == [organization.pk]
        assert list(recharging.due(now())) == [organization.pk]

    def test_a_lost_message_is_made_up_for_by_the_sweep(
        self, low: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_card(shop, low)
        monkeypatch.setattr(
            tasks.recharge_balance, "apply_async", lambda arguments, **_: tasks.recharge_balance(*arguments)
        )
        tasks.sweep_recharges()
        right(low, shop, 29)

    @pytest.mark.parametrize("change", ["off", "suspended", "stopped", "rich"])
    def test_otherwise_nothing_is_charged(self, low: Organization, shop: Shop, change: str) -> None:
        save_card(shop, low)
        if change == "off":
            recharge_choices.turn_off(low, actor=None, now=now())
        elif change == "suspended":
            Organization.objects.update(suspended_at=now())
        elif change == "stopped":
            AutoRecharge.objects.update(stopped_at=now())
        else:
            give_credit(low, 6 * DOLLAR, key="rich")
        assert again(low, now()) is None
        assert list(recharging.due(now())) == []
        assert not shop.stripe.v1.payment_intents.list().data

    def test_without_a_card_it_stops_and_says_so(self, low: Organization, shop: Shop) -> None:
        assert again(low, now()) is None
        assert AutoRecharge.objects.get().stopped_why == "There is no saved card."
        assert told() == ["stopped"]


class TestTheMonthsLimit:
    def test_it_is_never_exceeded_and_told_once(self, low: Organization, shop: Shop) -> None:
        on(low, below=1000, add=30, cap=70)
        save_card(shop, low)
        start = max(now(), recharging.month_of(now()) + timedelta(days=1))
        for minute in range(5):
            again(low, start + timedelta(minutes=2 * minute))
        assert TopUp.objects.count() == 2
        assert told() == ["capped"]
        assert AutoRecharge.objects.get().not_before == recharging.month_of(start + timedelta(days=32))
        right(low, shop, 64)

    def test_what_is_on_its_way_counts(self, low: Organization, shop: Shop) -> None:
        on(low, below=1000, add=60, cap=100)
        save_card(shop, low)
        again(low, now())
        assert recharging.recharged_this_month(low, now()) == 60 * DOLLAR
        TopUp.objects.filter(state=State.PAID)
        assert again(low, now() + timedelta(minutes=2)) is None

    @pytest.mark.parametrize(("below", "add", "cap"), [(10, 4, 100), (10, 25, 24), (-1, 25, 100), (10, 5001, 9999)])
    def test_what_makes_no_sense_is_refused(
        self, organization: Organization, shop: Shop, below: int, add: int, cap: int
    ) -> None:
        with pytest.raises((recharge_choices.RechargeError, topping_up.AmountError)):
            on(organization, below=below, add=add, cap=cap)
