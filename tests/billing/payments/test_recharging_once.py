"""Auto-recharge: one charge at a time, and none beside what people could pay elsewhere."""

from datetime import timedelta

import pytest

from accounts.models import Organization
from billing.models import AutoRecharge, TopUp
from billing.payments import calling, charging, healing, topping_up
from tests.at_once import at_once
from tests.billing.payments.refilling import again, now, right
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import begin, pay, save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
DECLINES = "pm_card_chargeCustomerFail"
State = TopUp.State


class TestOnce:
    def test_however_many_at_once_charge_once(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        assert at_once(*[lambda: again(low, now())] * 4) == []
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        right(low, shop, 29)

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_kill_bill_1015_an_unknown_outcome_is_looked_up_not_repeated(
        self, low: Organization, shop: Shop, fault: str
    ) -> None:
        """There, a retry with an unknown outcome paid twice."""
        save_card(shop, low)
        shop.control("faults", {"fault": fault, "route": CREATE})
        shop.control("faults", {"fault": "error_before", "route": CREATE.replace("POST", "GET")})
        top_up = again(low, now())
        assert top_up and top_up.state == State.OPEN
        for hours in (0, 2, 12):
            assert again(low, now() + timedelta(hours=hours)) is None
        healing.heal(lambda: now() + timedelta(minutes=10))
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        right(low, shop, 29)

    def test_one_that_was_killed_before_the_call_ends_and_counts_as_no_failure(
        self, low: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_card(shop, low)

        class KilledError(BaseException):
            pass

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        with monkeypatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(charging, "charge", killed)
            again(low, now())
        assert again(low, now() + timedelta(minutes=59)) is None
        healing.heal(lambda: now() + timedelta(hours=1, minutes=1))
        assert (TopUp.objects.get().state, AutoRecharge.objects.get().failures) == (State.FAILED, 0)
        assert again(low, now() + timedelta(hours=1, minutes=2))
        right(low, shop, 29)

    def test_lago_5708_an_open_page_is_closed_before_the_card_is_charged(self, low: Organization, shop: Shop) -> None:
        """There, an open checkout and the automatic charge were both captured."""
        save_card(shop, low)
        page = begin(low)
        assert again(low, now())
        assert pay(page).status != 303
        page.refresh_from_db()
        assert page.state == State.EXPIRED
        right(low, shop, 29)

    def test_lago_5708_a_page_whose_answer_was_lost_is_closed_as_well(self, low: Organization, shop: Shop) -> None:
        """Looking for it tells its address, which the customer could go to from then on."""
        save_card(shop, low)
        shop.control("faults", {"fault": "cut", "route": "POST /v1/checkout/sessions"})
        shop.control("faults", {"fault": "error_before", "route": "GET /v1/checkout/sessions"})
        with pytest.raises(calling.UnknownError):
            begin(low)
        assert again(low, now())
        assert TopUp.objects.get(way="checkout").state == State.EXPIRED
        right(low, shop, 29)

    def test_lago_5708_what_was_paid_on_the_page_meanwhile_is_enough(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        pay(begin(low))
        assert again(low, now()) is None
        right(low, shop, 29)

    def test_lago_5708_a_payment_at_the_bank_is_given_up_first(self, low: Organization, shop: Shop) -> None:
        card = save_card(shop, low, "pm_card_authenticationRequired")
        asked = topping_up.begin(low, 25 * DOLLAR, card=card, actor=None, now=now())
        page = charging.charge(asked, present=True, now=now()).pay_url
        save_card(shop, low)
        AutoRecharge.objects.update(not_before=now())
        again(low, now())
        visit(page, outcome="complete")
        assert len([one for one in shop.stripe.v1.payment_intents.list().data if one.status == "succeeded"]) <= 1

    @pytest.mark.parametrize("route", ["POST /v1/checkout/sessions/{id}/expire", "GET /v1/checkout/sessions/{id}"])
    def test_lago_5708_while_a_page_may_be_open_nothing_is_charged(
        self, low: Organization, shop: Shop, route: str
    ) -> None:
        save_card(shop, low)
        page = begin(low)
        shop.control("faults", {"fault": "error_before", "route": route})
        assert again(low, now()) is None
        if "expire" in route:
            pay(page)
            assert again(low, now()) is None
            right(low, shop, 29)
