"""Whatever happens to a plan in whatever order, the books say what a plain model says, and every proof holds."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.expiry import expire_grants
from billing.models import Balance, LedgerTransaction, PlanVersion, Subscription, SubscriptionPeriod
from billing.plans.choosing import choose, choose_at_end, keep
from billing.plans.ending import cancel_at_end, cancel_now
from billing.plans.errors import NotEnoughError, PlanError
from billing.plans.quoting import quote
from billing.plans.renewing import renew_due
from hotstate import outbox
from tests.billing.plans.conftest import START, balance_of, plan_credit, use, wrong
from tests.billing.plans.model import Account
from tests.cast import DOLLAR, give_credit, make_organization, make_plan

OFFERS: list[dict[str, Any]] = [
    {},
    {"fee_nanos": 7_000_000_001, "included_credit_nanos": 9_999_999_999, "rolls_over": True},
    {"fee_nanos": 0, "included_credit_nanos": DOLLAR // 3},
    {"fee_nanos": 100 * DOLLAR + 1, "included_credit_nanos": 0, "period": PlanVersion.Period.YEAR},
]
dollars = st.integers(1, 40 * DOLLAR)
which = st.integers(0, len(OFFERS) - 1)


class Plans(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.numbers = count(1)
        self.now = START

    def teardown(self) -> None:
        # Not after each step: they take a while.
        if hasattr(self, "model"):
            outbox.deliver()
        found = wrong(self.now) if hasattr(self, "model") else []
        self.roll_back()
        assert found == []

    def roll_back(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(first=st.integers(0, 60), nanos=st.integers(0, 300 * DOLLAR))
    def begin(self, first: int, nanos: int) -> None:
        self.now = START + timedelta(days=first)
        self.organization = make_organization(now=self.now)
        self.owner = self.organization.memberships.get().user
        self.versions = [make_plan(f"plan-{at}", **offer) for at, offer in enumerate(OFFERS)]
        self.model = Account()
        if nanos:
            self.money_comes(nanos)

    @rule(nanos=dollars)
    def money_comes(self, nanos: int) -> None:
        give_credit(self.organization, nanos, key=str(next(self.numbers)), now=self.now)
        self.model.come(nanos)

    @rule(nanos=dollars)
    def usage_comes(self, nanos: int) -> None:
        use(self.organization, nanos, now=self.now, key=str(next(self.numbers)))
        self.model.use(nanos)

    @rule(hours=st.integers(1, 30 * 24), seconds=st.integers(0, 3599))
    def time_passes(self, hours: int, seconds: int) -> None:
        self.now += timedelta(hours=hours, seconds=seconds, microseconds=seconds)
        self.renew()

    @rule(days=st.integers(30, 500))
    def all_stands_still(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.renew()

    def renew(self) -> None:
        renew_due(self.now)
        assert set(renew_due(self.now).values()) == {0}
        self.model.renew(self.now)

    @rule()
    def credit_expires(self) -> None:
        expire_grants(self.now)
        assert expire_grants(self.now) == 0
        self.model.expire(self.now)

    @rule(to=which)
    def a_plan_is_chosen(self, to: int) -> None:
        self.now += timedelta(minutes=1)
        self.renew()
        version = self.versions[to]
        offer = quote(self.organization, version, at=self.now)
        before = balance_of(self.organization) if Balance.objects.exists() else 0
        affordable = self.model.affords(version, self.now)
        try:
            choose(self.organization, version, actor=self.owner, now=self.now, shown_nanos=offer.net_nanos)
        except NotEnoughError:
            assert not affordable
            return
        assert affordable
        # What was shown is what moved.
        assert balance_of(self.organization) == before - offer.needed_nanos
        self.model.begin(version, self.now)

    @precondition(lambda self: self.model.plan)
    @rule(to=which)
    def a_plan_is_chosen_for_later(self, to: int) -> None:
        try:
            choose_at_end(self.organization, self.versions[to], actor=self.owner, now=self.now)
        except PlanError:
            assert self.model.plan.unpaid_since
        else:
            self.model.plan.following, self.model.plan.ends_then = self.versions[to], False

    @precondition(lambda self: self.model.plan)
    @rule()
    def it_is_to_end(self) -> None:
        try:
            cancel_at_end(self.organization, actor=self.owner, now=self.now)
        except PlanError:
            assert self.model.plan.unpaid_since
        else:
            self.model.plan.following, self.model.plan.ends_then = None, True

    @precondition(lambda self: self.model.plan)
    @rule()
    def it_is_kept(self) -> None:
        keep(self.organization, actor=self.owner, now=self.now)
        self.model.plan.following, self.model.plan.ends_then = None, False

    @precondition(lambda self: self.model.plan)
    @rule()
    def it_ends_now(self) -> None:
        self.now += timedelta(minutes=1)
        self.renew()
        if self.model.plan is None:
            return
        offer, before = quote(self.organization, None, at=self.now), balance_of(self.organization)
        cancel_now(self.organization, actor=self.owner, now=self.now, shown_nanos=offer.net_nanos)
        assert balance_of(self.organization) == before - offer.needed_nanos
        self.model.cut(self.now)
        self.model.end(self.now)

    @invariant()
    def the_books_say_the_same(self) -> None:
        if not hasattr(self, "model") or not Balance.objects.exists():
            return
        outbox.deliver()
        balance = Balance.objects.get()
        assert (balance.nanos, plan_credit(self.organization), balance.debt_nanos) == (
            self.model.balance,
            self.model.credit,
            self.model.debt,
        )
        fees = LedgerTransaction.objects.filter(kind="fee", corrects=None).count()
        assert (fees, SubscriptionPeriod.objects.count()) == (self.model.fees, self.model.periods)
        assert Subscription.objects.current().count() == (self.model.plan is not None)


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Plans,
        settings=settings(
            settings.default,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )


@pytest.fixture(autouse=True)
def _books_are_right() -> None:
    """Asked after each step."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is committed here, so nobody else tells Valkey: what waits is delivered at once."""
    monkeypatch.setattr("hotstate.aside.TRIES", 2)


@pytest.mark.django_db
def test_any_history_of_a_plan(empty_valkey: Any) -> None:
    explore(examples=6, steps=25)


@pytest.mark.extended
@pytest.mark.timeout(1800)
@pytest.mark.django_db
def test_any_longer_history_of_a_plan(empty_valkey: Any) -> None:
    explore(examples=40, steps=40)
