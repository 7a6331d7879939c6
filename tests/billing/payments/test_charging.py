"""Top-ups with a saved card: one PaymentIntent each, paid once, whatever calls, bank and customer do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Organization
from billing.models import Balance, TopUp
from billing.payments import calling, cards, charging, healing, settling, topping_up
from billing.proofs.proving import prove
from tests.at_once import at_once
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import event, post, save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
State = TopUp.State


def now() -> datetime:
    return datetime.now(UTC)


def later() -> datetime:
    return now() + timedelta(minutes=10)


def credited(organization: Organization, dollars: int) -> None:
    balance = Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0
    assert balance == dollars * DOLLAR
    assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}


def begin(organization: Organization, **fields: Any) -> TopUp:
    card = cards.default_of(organization)
    return topping_up.begin(organization, 25 * DOLLAR, card=card, actor=None, now=now(), **fields)


def charge(shop: Shop, organization: Organization, method: str = "pm_card_visa", *, present: bool = True) -> TopUp:
    save_card(shop, organization, method)
    return charging.charge(begin(organization), present=present, now=now())


def order(shop: Shop, fault: str, route: str = CREATE, **fields: Any) -> None:
    shop.control("faults", {"fault": fault, "route": route, **fields})


def test_a_saved_card_pays_at_once(organization: Organization, told: Shop) -> None:
    top_up = charge(told, organization)
    assert (top_up.state, top_up.way, str(top_up.card)) == (State.PAID, TopUp.Way.CARD, "Visa •••• 4242")
    told.quiet()
    credited(organization, 25)
    intent = told.stripe.v1.payment_intents.retrieve(str(top_up.payment_intent))
    assert intent.metadata.to_dict() == {"top_up": top_up.public_id, "organization": organization.public_id}


def test_the_webhook_alone_credits_what_was_paid(organization: Organization, told: Shop) -> None:
    """Killed between the call and its answer."""
    save_card(told, organization)
    charging._create(begin(organization), present=True)
    told.quiet()
    assert TopUp.objects.get().state == State.PAID
    credited(organization, 25)


@pytest.mark.parametrize(
    ("method", "code", "why"),
    [
        ("pm_card_chargeCustomerFail", "generic_decline", "The card was declined."),
        (
            "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
            "insufficient_funds",
            "The card has insufficient funds.",
        ),
    ],
)
def test_a_card_that_says_no_is_told(organization: Organization, told: Shop, method: str, code: str, why: str) -> None:
    top_up = charge(told, organization, method)
    if top_up.state == State.OPEN:
        visit(top_up.pay_url, outcome="complete")
    told.quiet()
    top_up.refresh_from_db()
    assert (top_up.state, top_up.decline, top_up.why) == (State.FAILED, code, why)
    credited(organization, 0)


class TestTheBanksPage:
    CARD = "pm_card_authenticationRequired"

    def test_the_customer_confirms_and_the_money_comes_once(self, organization: Organization, told: Shop) -> None:
        top_up = charge(told, organization, self.CARD)
        assert (top_up.state, top_up.decline) == (State.OPEN, "")
        visit(top_up.pay_url, outcome="complete")
        told.quiet()
        assert settling.look(top_up, now=now()).state == State.PAID
        credited(organization, 25)

    def test_the_customer_fails_and_nothing_comes(self, organization: Organization, told: Shop) -> None:
        top_up = charge(told, organization, self.CARD)
        visit(top_up.pay_url, outcome="fail")
        told.quiet()
        top_up.refresh_from_db()
        assert (top_up.state, top_up.why) == (State.FAILED, "The payment wasn't confirmed at the bank.")
        credited(organization, 0)

    def test_off_session_it_waits_for_its_customer_who_confirms_the_same_payment(
        self, organization: Organization, told: Shop
    ) -> None:
        top_up = charge(told, organization, self.CARD, present=False)
        assert top_up.awaits_customer
        told.quiet()
        assert top_up.card
        for _ in range(2):
            top_up = charging.confirm(top_up, top_up.card, present=True, now=now())
        visit(top_up.pay_url, outcome="complete")
        told.quiet()
        top_up.refresh_from_db()
        assert top_up.state == State.PAID
        assert len(told.stripe.v1.payment_intents.list().data) == 1
        with pytest.raises(charging.SettledError):
            charging.confirm(top_up, top_up.card, present=True, now=now())
        credited(organization, 25)

    def test_what_nobody_confirms_is_given_up_and_cannot_be_paid_any_more(
        self, organization: Organization, told: Shop
    ) -> None:
        top_up = charge(told, organization, self.CARD)
        page = top_up.pay_url
        healing.heal(lambda: top_up.closes_at + timedelta(minutes=1))
        top_up.refresh_from_db()
        assert (top_up.state, top_up.why, top_up.pay_url) == (State.FAILED, "It wasn't paid in time.", "")
        visit(page, outcome="complete")
        told.quiet()
        assert told.stripe.v1.payment_intents.retrieve(str(top_up.payment_intent)).status == "canceled"
        credited(organization, 0)

    def test_one_that_was_paid_while_it_was_given_up_is_credited(
        self, organization: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        top_up = charge(shop, organization, self.CARD)
        look = settling.intents.payment_of

        def meanwhile(top_up: TopUp) -> Any:
            seen = look(top_up)
            visit(top_up.pay_url, outcome="complete")
            return seen

        monkeypatch.setattr(settling.intents, "payment_of", meanwhile)
        assert settling.look(top_up, now=top_up.closes_at).state == State.PAID
        credited(organization, 25)


class TestUnknownOutcomes:
    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_kill_bill_1015_a_payment_whose_answer_was_lost_is_found_not_repeated(
        self, organization: Organization, shop: Shop, fault: str
    ) -> None:
        """There, a retry with an unknown outcome paid twice."""
        order(shop, fault)
        assert charge(shop, organization).state == State.PAID
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        credited(organization, 25)

    def test_kill_bill_1015_while_nothing_can_be_told_it_stays_open(
        self, organization: Organization, shop: Shop
    ) -> None:
        order(shop, "cut")
        order(shop, "error_before", CREATE.replace("POST", "GET"))
        with pytest.raises(calling.UnknownError):
            charge(shop, organization)
        assert TopUp.objects.get().state == State.OPEN
        healing.heal(later)
        assert TopUp.objects.get().state == State.PAID
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        credited(organization, 25)

    def test_one_that_never_reached_stripe_fails_in_the_end(self, organization: Organization, shop: Shop) -> None:
        order(shop, "error_before")
        with pytest.raises(calling.UnknownError):
            charge(shop, organization)
        healing.heal(later)
        assert TopUp.objects.get().state == State.OPEN
        healing.heal(lambda: now() + timedelta(hours=2))
        assert (TopUp.objects.get().state, TopUp.objects.get().why) == (State.FAILED, "The payment couldn't be made.")
        credited(organization, 0)

    @pytest.mark.parametrize("fault", ["error_after", "cut"])
    def test_a_confirmation_whose_answer_was_lost_is_found(
        self, organization: Organization, shop: Shop, fault: str
    ) -> None:
        top_up = charge(shop, organization, "pm_card_authenticationRequired", present=False)
        order(shop, fault, CONFIRM)
        assert top_up.card
        assert charging.confirm(top_up, top_up.card, present=True, now=now()).pay_url

    def test_a_card_that_is_gone_at_stripe_is_told_and_looked_up(self, organization: Organization, shop: Shop) -> None:
        saved = save_card(shop, organization)
        shop.stripe.v1.payment_methods.detach(saved.payment_method)
        with pytest.raises(calling.RefusedError):
            charging.charge(begin(organization), present=True, now=now())
        assert TopUp.objects.get().state == State.FAILED
        healing.heal(later)
        assert cards.default_of(organization) is None


def test_a_card_that_is_removed_before_it_is_asked_pays_nothing(organization: Organization, shop: Shop) -> None:
    """Though it is at Stripe still: the call that detaches it was lost."""
    card = save_card(shop, organization)
    begun = begin(organization)
    order(shop, "error_before", "POST /v1/payment_methods/{id}/detach")
    with pytest.raises(calling.UnknownError):
        cards.remove(card, actor=None, now=now())
    failed = charging.charge(begun, present=True, now=now())
    assert (failed.state, failed.why) == (State.FAILED, "The card was removed.")
    assert not shop.stripe.v1.payment_intents.list().data


class TestOnce:
    def test_a_form_that_is_sent_twice_at_once_pays_once(self, organization: Organization, shop: Shop) -> None:
        save_card(shop, organization)
        asked = uuid4()

        def go() -> None:
            charging.charge(begin(organization, asked=asked), present=True, now=now())

        failures = at_once(go, go, go)
        assert [type(failure) for failure in failures] == [topping_up.AgainError] * 2
        assert len(shop.stripe.v1.payment_intents.list().data) == 1
        credited(organization, 25)

    def test_any_number_of_webhooks_and_looks_credit_once(self, organization: Organization, shop: Shop) -> None:
        top_up = charge(shop, organization)
        for kind in ("succeeded", "payment_failed", "canceled", "processing"):
            assert post(event(f"payment_intent.{kind}", str(top_up.payment_intent))).status_code == 200
        credited(organization, 25)


class TestDifferences:
    @pytest.mark.parametrize(
        ("field", "value", "word"),
        [
            ("amount", 2600, "amount"),
            ("amount_received", 1, "amount received"),
            ("currency", "eur", "currency"),
            ("livemode", True, "live mode"),
            ("customer", "cus_other", "customer"),
        ],
    )
    def test_what_was_paid_otherwise_is_not_credited(
        self, organization: Organization, shop: Shop, twist: Any, field: str, value: Any, word: str
    ) -> None:
        def change(path: str, answer: dict[str, Any]) -> None:
            if answer.get("object") == "payment_intent":
                answer[field] = value

        twist.twist = change
        top_up = charge(shop, organization)
        assert f"{word} is" in top_up.trouble
        credited(organization, 0)

    def test_another_organizations_payment_is_not_mine(
        self, organization: Organization, shop: Shop, twist: Any
    ) -> None:
        def change(path: str, answer: dict[str, Any]) -> None:
            if answer.get("object") == "payment_intent":
                answer["metadata"]["organization"] = "org_other"

        twist.twist = change
        assert "organization is" in charge(shop, organization).trouble
        credited(organization, 0)
