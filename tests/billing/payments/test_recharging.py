"""Auto-recharge: once when it is due, within its limits, and never again and again."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection

from accounts.models import Organization
from billing import ledger, tasks
from billing.models import Account, AutoRecharge, Balance, Notice, NoticeMail, TopUp, TransactionKind
from billing.notices import mailing
from billing.payments import calling, charging, healing, recharge_choices, recharging, topping_up
from billing.proofs.proving import prove
from tests.cast import DOLLAR, give_credit
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import begin, pay, save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
DECLINES = "pm_card_chargeCustomerFail"
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


@pytest.fixture
def low(organization: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Organization:
    """$4, below the threshold of $10; nothing is done by itself here."""
    monkeypatch.setattr(tasks.recharge_balance, "apply_async", lambda *_, **__: None)
    give_credit(organization, 4 * DOLLAR)
    on(organization)
    return organization


def again(organization: Organization, at: datetime) -> TopUp | None:
    return recharging.recharge(organization.pk, now=at)


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


class TestOnce:
    def test_however_many_at_once_charge_once(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        together = threading.Barrier(4)

        def go() -> None:
            try:
                together.wait(10)
                again(low, now())
            finally:
                connection.close()

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
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


class TestFailures:
    def test_akash_3756_a_card_that_declines_is_asked_three_times_in_all(self, low: Organization, shop: Shop) -> None:
        """There, it was asked 486 times."""
        save_card(shop, low, DECLINES)
        start = now()
        for minute in range(0, 60 * 24, 5):
            again(low, start + timedelta(minutes=minute))
        tries = list(TopUp.objects.order_by("pk").values_list("created_at", flat=True))
        assert [round((one - start) / timedelta(minutes=1)) for one in tries] == [0, 60, 420]
        assert len(shop.stripe.v1.payment_intents.list().data) == 3
        own = AutoRecharge.objects.get()
        assert own.stopped_at and "said no 3 times" in own.stopped_why
        assert told() == ["declined", "declined", "stopped"]
        right(low, shop, 4)

    def test_one_that_works_again_begins_to_count_anew(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, DECLINES)
        again(low, now())
        assert AutoRecharge.objects.get().failures == 1
        save_card(shop, low)
        shop.stripe.v1.payment_methods.detach(TopUp.objects.get().card.payment_method)  # type: ignore[union-attr]
        healing.cards.look(low, now=now())
        assert again(low, now()) is None
        top_up = again(low, now() + timedelta(minutes=61))
        assert top_up and top_up.state == State.PAID
        assert AutoRecharge.objects.get().failures == 0
        right(low, shop, 29)

    def test_a_person_starts_it_again(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        AutoRecharge.objects.update(stopped_at=now(), stopped_why="It said no.", failures=3)
        recharge_choices.start_again(low, actor=None, now=now())
        assert again(low, now())
        right(low, shop, 29)

    def test_starting_again_and_again_asks_once_a_minute_at_most(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, DECLINES)
        for _ in range(5):
            recharge_choices.start_again(low, actor=None, now=now())
            again(low, now())
        assert len(shop.stripe.v1.payment_intents.list().data) == 1

    def test_stripe_away_is_no_failure_of_the_card(self, low: Organization, shop: Shop, settings: Any) -> None:
        save_card(shop, low)
        shop.control("faults", {"fault": "rate_limit", "route": CREATE})
        again(low, now())
        assert (TopUp.objects.get().state, AutoRecharge.objects.get().failures) == (State.FAILED, 0)


class TestTheBankWantsItsCustomer:
    def test_a_link_is_mailed_and_works_once(self, low: Organization, told_too: Shop) -> None:
        save_card(told_too, low, "pm_card_authenticationRequired")
        top_up = again(low, now())
        assert top_up and top_up.awaits_customer
        assert top_up.closes_at > now() + timedelta(hours=23)
        [waiting] = NoticeMail.objects.all()
        mailing.send(waiting.pk, now())
        assert f"/billing/top-ups/{top_up.public_id}/" in mail.outbox[0].body
        # Nothing else is tried while it waits.
        assert again(low, now() + timedelta(hours=5)) is None
        assert top_up.card
        confirmed = charging.confirm(top_up, top_up.card, present=True, now=now())
        visit(confirmed.pay_url, outcome="complete")
        told_too.quiet()
        right(low, told_too, 29)
        assert AutoRecharge.objects.get().failures == 0

    def test_what_nobody_confirms_counts_as_a_no(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, "pm_card_authenticationRequired")
        again(low, now())
        healing.heal(lambda: now() + timedelta(days=1, minutes=1))
        assert (TopUp.objects.get().state, AutoRecharge.objects.get().failures) == (State.FAILED, 1)
        right(low, shop, 4)

    @pytest.fixture
    def told_too(self, shop: Shop, told: Shop) -> Shop:
        return told


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
