"""A plan's first period by saved card: it begins once, with the payment made for it, or the balance has the money."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from accounts.models import Alarm, Organization
from billing.models import Balance, PlanPromise, PlanVersion, Subscription, TopUp
from billing.payments import charging, first_fees, healing, topping_up
from billing.plans import choosing
from billing.plans.errors import OtherwiseError, PlanError
from billing.proofs.proving import prove
from tests.at_once import Meanwhile, at_once
from tests.cast import DOLLAR, give_credit, make_organization, make_plan
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import save_card

pytestmark = pytest.mark.django_db(transaction=True)
FEE = 20
CREATE = "POST /v1/payment_intents"
ASKS = "pm_card_authenticationRequired"
State = TopUp.State


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def version(db: None) -> PlanVersion:
    return make_plan(fee_nanos=FEE * DOLLAR, included_credit_nanos=10 * DOLLAR)


def pay(
    organization: Organization, version: PlanVersion, shop: Shop, method: str = "pm_card_visa", **said: Any
) -> TopUp:
    """As the page does, with a card that is saved for it."""
    return charging.charge(
        begin(organization, version, save_card(shop, organization, method), **said), present=True, now=now()
    )


def begin(organization: Organization, version: PlanVersion, card: Any, asked: UUID | None = None) -> TopUp:
    said = {"shown_nanos": version.fee_nanos, "asked": asked or uuid4(), "actor": organization.members.get()}
    return first_fees.begin(organization, version, card, now=now(), **said)  # type: ignore[arg-type]


def right(shop: Shop, *, charged: int, plans: int, dollars: int) -> None:
    paid = [intent.id for intent in shop.stripe.v1.payment_intents.list().data if intent.status == "succeeded"]
    assert len(paid) == charged
    assert set(paid) == set(TopUp.objects.filter(state=State.PAID).values_list("payment_intent", flat=True))
    assert Subscription.objects.count() == plans
    assert PlanPromise.objects.exclude(began=None).count() == plans
    assert sum(Balance.objects.values_list("nanos", flat=True)) == dollars * DOLLAR
    assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}


class TestPaid:
    def test_the_card_pays_the_fee_and_the_plan_begins_with_its_credit(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        give_credit(organization, 3 * DOLLAR)
        top_up = pay(organization, version, shop)
        assert (top_up.state, top_up.nanos) == (State.PAID, FEE * DOLLAR)
        begun = Subscription.objects.get()
        assert (begun.version, begun.number, begun.by_card) == (version, 1, True)
        right(shop, charged=1, plans=1, dollars=3 + 10)

    def test_a_debt_is_no_obstacle_and_stays(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        from tests.billing.plans.conftest import use

        use(organization, 5 * DOLLAR, now=now(), key="late")
        pay(organization, version, shop)
        right(shop, charged=1, plans=1, dollars=10 - 5)

    def test_what_was_shown_holds_though_the_plan_changes_meanwhile(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        begun = begin(organization, version, save_card(shop, organization))
        version.plan.archived_at = now()
        version.plan.save()
        charging.charge(begun, present=True, now=now())
        right(shop, charged=1, plans=1, dollars=10)

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_an_answer_that_is_lost_is_looked_up(
        self, organization: Organization, version: PlanVersion, shop: Shop, fault: str
    ) -> None:
        shop.control("faults", {"fault": fault, "route": CREATE})
        assert pay(organization, version, shop).state == State.PAID
        right(shop, charged=1, plans=1, dollars=10)

    def test_the_bank_is_asked_and_then_the_webhook_begins_it(
        self, organization: Organization, version: PlanVersion, told: Shop
    ) -> None:
        top_up = pay(organization, version, told, ASKS)
        right(told, charged=0, plans=0, dollars=0)
        visit(top_up.pay_url, outcome="complete")
        told.quiet()
        right(told, charged=1, plans=1, dollars=10)


class TestNotPaid:
    def test_a_card_that_says_no_begins_nothing(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        assert pay(organization, version, shop, "pm_card_chargeCustomerFail").state == State.FAILED
        right(shop, charged=0, plans=0, dollars=0)

    def test_killed_before_stripe_was_asked_it_ends(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        begin(organization, version, save_card(shop, organization))
        healing.heal(lambda: now() + timedelta(hours=2))
        assert TopUp.objects.get().state == State.FAILED
        right(shop, charged=0, plans=0, dollars=0)

    def test_more_than_was_shown_is_not_charged(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        said: dict[str, Any] = {"asked": uuid4(), "actor": organization.members.get(), "now": now()}
        with pytest.raises(OtherwiseError):
            first_fees.begin(organization, version, save_card(shop, organization), shown_nanos=DOLLAR, **said)
        assert not TopUp.objects.exists()

    @pytest.mark.parametrize("why", ["suspended", "a plan already", "not offered"])
    def test_where_it_could_not_begin_nothing_is_charged(
        self, organization: Organization, version: PlanVersion, shop: Shop, why: str
    ) -> None:
        if why == "suspended":
            Organization.objects.update(suspended_at=now())
        elif why == "a plan already":
            choosing.choose(organization, make_plan("free", fee_nanos=0), actor=None, now=now())
        else:
            version.plan.archived_at = now()
        with pytest.raises(PlanError):
            begin(organization, version, save_card(shop, organization))
        assert not TopUp.objects.exists()


class TestOnce:
    def test_a_form_that_is_sent_twice_pays_once(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        asked = uuid4()
        first = pay(organization, version, shop, ASKS, asked=asked)
        with pytest.raises(topping_up.AgainError) as again:
            begin(organization, version, first.card, asked)
        assert again.value.top_up == first
        visit(first.pay_url, outcome="complete")
        healing.heal(lambda: now() + timedelta(minutes=10))
        right(shop, charged=1, plans=1, dollars=10)

    def test_two_forms_at_once_pay_once(self, organization: Organization, version: PlanVersion, shop: Shop) -> None:
        card = save_card(shop, organization)

        def go() -> None:
            charging.charge(begin(organization, version, card), present=True, now=now())

        failures = at_once(go, go, go)
        assert len(failures) == 2 and all(isinstance(one, topping_up.AgainError | PlanError) for one in failures)
        right(shop, charged=1, plans=1, dollars=10)

    def test_a_form_that_waited_for_another_finds_its_payment(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        card = save_card(shop, organization)
        with transaction.atomic():
            Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
            other = Meanwhile(lambda: begin(organization, version, card))
            mine = begin(organization, version, card)
        with pytest.raises(topping_up.AgainError) as again:
            other.ends()
        assert again.value.top_up == mine

    def test_lago_5708_what_waits_at_a_bank_is_given_up_before_another_card_is_asked(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        left = pay(organization, version, shop, ASKS)
        pay(organization, version, shop)
        visit(left.pay_url, outcome="complete")
        healing.heal(lambda: now() + timedelta(hours=2))
        assert TopUp.objects.get(pk=left.pk).state == State.FAILED
        right(shop, charged=1, plans=1, dollars=10)

    def test_one_that_was_paid_at_the_bank_meanwhile_counts(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        first = pay(organization, version, shop, ASKS)
        visit(first.pay_url, outcome="complete")
        with pytest.raises(topping_up.AgainError) as again:
            pay(organization, version, shop)
        assert again.value.top_up.state == State.PAID
        right(shop, charged=1, plans=1, dollars=10)

    def test_where_another_plan_was_quicker_the_balance_has_the_money(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        begun = begin(organization, version, save_card(shop, organization))
        choosing.choose(organization, make_plan("free", fee_nanos=0, included_credit_nanos=0), actor=None, now=now())
        charging.charge(begun, present=True, now=now())
        assert PlanPromise.objects.get().began is None
        assert Balance.objects.get().nanos == FEE * DOLLAR

    def test_what_breaks_loses_no_money(
        self, organization: Organization, version: PlanVersion, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choosing, "give", lambda *_args, **_fields: 1 / 0)
        assert pay(organization, version, shop).state == State.PAID
        assert Alarm.objects.get().kind == "plan_does_not_begin"
        right(shop, charged=1, plans=0, dollars=FEE)

    def test_another_organizations_form_is_another_form(
        self, organization: Organization, version: PlanVersion, shop: Shop
    ) -> None:
        asked = uuid4()
        pay(organization, version, shop, asked=asked)
        pay(make_organization("Other"), version, shop, asked=asked)
        right(shop, charged=2, plans=2, dollars=20)
