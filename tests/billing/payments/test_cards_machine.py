"""Whatever cards, banks, Stripe and kills do: each payment is credited once, and no more is taken than was allowed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from accounts.models import Organization
from billing import ledger
from billing.models import Account, AutoRecharge, LedgerTransaction, PlanPromise, Subscription, TopUp, TransactionKind
from billing.payments import (
    calling,
    cards,
    charging,
    first_fees,
    healing,
    plan_fees,
    recharge_choices,
    recharging,
    topping_up,
)
from billing.plans import choosing, renewing
from billing.plans.errors import PlanError
from billing.proofs.proving import prove
from tests.cast import DOLLAR, give_credit, make_organization, make_plan
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import begin, event, pay, post, save_card

State, Way = TopUp.State, TopUp.Way
NOT_THERE = (calling.RefusedError, calling.UnknownError)
CARDS = ["pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired"]
FAULTS = ["", "", "error_before", "error_after", "cut", "rate_limit"]
ROUTES = [
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/{id}/confirm",
    "GET /v1/payment_intents",
    "GET /v1/payment_intents/{id}",
    "POST /v1/payment_intents/{id}/cancel",
    "POST /v1/checkout/sessions/{id}/expire",
]
CAP = 120 * DOLLAR
fault, route = st.sampled_from(FAULTS), st.sampled_from(ROUTES)


class KilledError(BaseException):
    """The process is gone."""


class Cards(RuleBasedStateMachine):
    shop: Shop
    numbers = count(1)

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta()

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @initialize(by_card=st.booleans(), subscribed=st.booleans())
    def begin(self, by_card: bool, subscribed: bool) -> None:
        self.shop.control("clock", {"ahead": 0})
        self.organization: Organization = make_organization(f"Acme {next(self.numbers)}")
        ended = self.now - timedelta(hours=1)
        began = (ended.replace(day=1) - timedelta(days=1)).replace(day=min(ended.day, 28))
        give_credit(self.organization, 32 * DOLLAR, now=began)
        self.version = make_plan(f"plan-{next(self.numbers)}", included_credit_nanos=0)
        if subscribed:
            choosing.choose(self.organization, self.version, actor=None, now=began)
            plan_fees.let_pay(self.organization, by_card=by_card, actor=None, now=self.now)
        self.begun = int(subscribed)
        save_card(self.shop, self.organization, now=self.now)
        self.choose()

    @rule()
    def choose(self) -> None:
        recharge_choices.choose(
            self.organization,
            threshold_nanos=10 * DOLLAR,
            amount_nanos=25 * DOLLAR,
            monthly_cap_nanos=CAP,
            actor=None,
            now=self.now,
        )

    @rule(nanos=st.integers(1, 20 * DOLLAR))
    def spend(self, nanos: int) -> None:
        movement = ledger.Movement(
            operation_key=f"use:{next(self.numbers)}",
            kind=TransactionKind.ADJUSTMENT,
            organization_id=self.organization.pk,
            nanos=-nanos,
            counter=Account.PROMOTIONS,
            event_day=self.now.date(),
        )
        ledger.post([movement], now=self.now)

    @rule(method=st.sampled_from(CARDS))
    def change_card(self, method: str) -> None:
        for card in cards.of(self.organization).select_related("organization"):
            with suppress(*NOT_THERE):
                cards.remove(card, actor=None, now=self.now)
        save_card(self.shop, self.organization, method, now=self.now)

    @rule(what=fault, where=route)
    def recharge(self, what: str, where: str) -> None:
        with self.failing(what, where):
            recharging.recharge(self.organization.pk, now=self.now)

    @rule(what=fault, where=route)
    def renew(self, what: str, where: str) -> None:
        with self.failing(what, where):
            renewing.renew_due(self.now)

    @rule()
    def pay_the_plan_now(self) -> None:
        plan_fees.ask_again(self.organization, now=self.now)
        renewing.pay_now(self.organization, now=self.now)

    @rule(asked=st.booleans())
    def killed(self, asked: bool) -> None:
        """Before Stripe was asked, or after."""
        with pytest.MonkeyPatch.context() as killing, suppress(KilledError):
            killing.setattr(charging.intents.SeenPayment if asked else charging, "of" if asked else "charge", kill)
            recharging.recharge(self.organization.pk, now=self.now)

    @rule(what=fault, where=route)
    def pay_with_the_card(self, what: str, where: str) -> None:
        card = cards.default_of(self.organization)
        if card is None:
            return
        with suppress(topping_up.TooManyError, *NOT_THERE), self.failing(what, where):
            begun = topping_up.begin(self.organization, 5 * DOLLAR, card=card, actor=None, now=self.now)
            charging.charge(begun, present=True, now=self.now)

    @rule(what=fault, where=route)
    def begin_a_plan_with_the_card(self, what: str, where: str) -> None:
        card = cards.default_of(self.organization)
        if card is None:
            return
        actor, shown = self.organization.members.get(), self.version.fee_nanos
        said: dict[str, Any] = {"shown_nanos": shown, "asked": uuid4(), "actor": actor, "now": self.now}
        with suppress(PlanError, topping_up.AgainError, *NOT_THERE), self.failing(what, where):
            begun = first_fees.begin(self.organization, self.version, card, **said)
            charging.charge(begun, present=True, now=self.now)

    @rule(paid=st.booleans())
    def open_a_page(self, paid: bool) -> None:
        with suppress(topping_up.TooManyError, *NOT_THERE):
            top_up = begin(self.organization, 7, now=self.now)
            if paid:
                pay(top_up)

    @rule(outcome=st.sampled_from(["complete", "fail", "away"]), what=fault, where=route)
    def confirm(self, outcome: str, what: str, where: str) -> None:
        for top_up in self.top_ups().filter(card__isnull=False, state=State.OPEN):
            page = top_up.pay_url
            if top_up.awaits_customer and top_up.card and not page:
                with suppress(charging.SettledError, *NOT_THERE), self.failing(what, where):
                    page = charging.confirm(top_up, top_up.card, present=True, now=self.now).pay_url
            if page and outcome != "away":
                visit(page, outcome=outcome)

    @rule(minutes=st.sampled_from([2, 61, 400, 1500]))
    def time_passes(self, minutes: int) -> None:
        self.ahead += timedelta(minutes=minutes)
        self.shop.control("clock", {"ahead": int(self.ahead.total_seconds())})

    @rule(what=fault, where=route)
    def heal(self, what: str, where: str) -> None:
        with self.failing(what, where):
            healing.heal(lambda: self.now)

    @rule()
    def webhooks_come(self) -> None:
        """Of every payment, late and again."""
        for intent in self.intents():
            post(event("payment_intent.succeeded", intent.id, id=f"evt_{next(self.numbers)}"))

    @contextmanager
    def failing(self, what: str, where: str) -> Iterator[None]:
        if what:
            self.shop.control("faults", {"fault": what, "route": where})
        try:
            yield
        finally:
            self.shop.control("faults", method="DELETE")

    def top_ups(self) -> Any:
        return TopUp.objects.filter(organization=self.organization).select_related("organization", "card")

    def intents(self) -> list[Any]:
        listed = self.shop.stripe.v1.payment_intents.list({"limit": 100}).auto_paging_iter()
        return [one for one in listed if one.metadata and self.mine(one.metadata.to_dict())]

    def mine(self, metadata: dict[str, str]) -> bool:
        return metadata.get("organization") == self.organization.public_id

    def teardown(self) -> None:
        if not hasattr(self, "organization"):
            return
        for days in (0, 1, 10):
            self.time_passes(days * 1440 + 20)
            healing.heal(lambda: self.now)
        paid = Counter(intent.id for intent in self.intents() if intent.status == "succeeded")
        settled = self.top_ups().filter(state=State.PAID)
        assert paid == Counter(settled.values_list("payment_intent", flat=True))
        keys = LedgerTransaction.objects.filter(organization=self.organization, kind="top_up")
        assert Counter(f"top-up:{name}" for name in paid) == Counter(keys.values_list("operation_key", flat=True))
        assert not self.top_ups().unsettled().exists()
        self.no_more_than_was_allowed()
        # Nobody closes days here, or renews what has come due since.
        wrong = {result.name for result in prove(self.now) if not result.ok}
        assert wrong <= {"nothing_stuck", "plans_due"}, wrong

    def no_more_than_was_allowed(self) -> None:
        attempts = list(self.top_ups().filter(way=Way.RECHARGE).order_by("pk"))
        months = Counter[str]()
        for top_up in attempts:
            months[f"{top_up.created_at:%Y-%m}"] += top_up.nanos if top_up.state == State.PAID else 0
        assert all(nanos <= CAP for nanos in months.values())
        assert all(later.created_at - earlier.created_at >= recharging.PAUSE for earlier, later in pairwise(attempts))
        assert AutoRecharge.objects.get(pk=self.organization.pk).failures <= recharging.MOST_FAILURES
        periods = self.top_ups().filter(way=Way.PLAN, state=State.PAID).values_list("subscription", "period")
        assert max(Counter(periods).values(), default=0) <= 1
        kept = PlanPromise.objects.filter(top_up__organization=self.organization).exclude(began=None)
        assert not kept.exclude(top_up__state=State.PAID).exists()
        assert Subscription.objects.filter(organization=self.organization).count() == self.begun + kept.count()


def kill(*_: object, **__: object) -> None:
    raise KilledError


def explore(shop: Shop, examples: int, steps: int) -> None:
    Cards.shop = shop
    run_state_machine_as_test(
        Cards,
        settings=settings(
            settings.default,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )


@pytest.mark.django_db(transaction=True)
def test_any_history_of_cards(shop: Shop, empty_valkey: Any) -> None:
    explore(shop, examples=6, steps=20)


@pytest.mark.extended
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
def test_any_longer_history_of_cards(shop: Shop, empty_valkey: Any) -> None:
    explore(shop, examples=60, steps=40)
