"""Renewals: each period once, from when it was due, in order; what happens where it can't be paid."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Alarm, Organization, User
from billing.expiry import expire_grants
from billing.models import (
    CreditGrant,
    LedgerTransaction,
    PlanVersion,
    Subscription,
    SubscriptionEvent,
    SubscriptionPeriod,
)
from billing.partitions import ensure_partitions
from billing.plans import renewing
from billing.plans.choosing import choose
from billing.plans.ending import cancel_now
from billing.plans.errors import PlanError
from billing.plans.periods import following
from billing.plans.renewing import renew_due
from billing.posting import post_segment
from billing.spending import spent
from hotstate import names
from hotstate.errors import Unreachable
from hotstate.records import Budgets, Limits
from tests.billing.plans.conftest import START, balance_of, plan_credit, use
from tests.billing.test_races import at_once
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_plan,
    make_segment,
    raw,
    usage_line,
)

DUE = datetime(2027, 2, 28, 9, 30, tzinfo=UTC)
MONTH, YEAR = PlanVersion.Period.MONTH, PlanVersion.Period.YEAR
NOTHING = {"renewed": 0, "failed": 0, "ended": 0, "put off": 0, "waiting": 0, "broken": 0}


def days(first: datetime, period: str, anchor_day: int, count: int) -> list[str]:
    found = [first]
    for _ in range(count):
        found.append(following(found[-1], period, anchor_day))
    return [f"{moment:%Y-%m-%d}" for moment in found]


def test_periods_from_the_31st_end_with_the_month_and_come_back() -> None:
    first = datetime(2027, 12, 31, 9, 30, tzinfo=UTC)
    assert days(first, MONTH, 31, 4) == ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]


def test_years_from_a_leap_day_come_back_to_it() -> None:
    first = datetime(2028, 2, 29, tzinfo=UTC)
    assert days(first, YEAR, 29, 4) == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]


def test_nothing_is_due_before_its_time_and_a_period_is_renewed_once(organization: Organization, owner: User) -> None:
    choose(organization, make_plan(), actor=owner, now=START)
    assert renew_due(DUE - timedelta(seconds=1)) == NOTHING
    assert renew_due(DUE) == {**NOTHING, "renewed": 1}
    assert renew_due(DUE) == NOTHING
    # The first credit expires unused.
    assert expire_grants(DUE) == 1
    assert (balance_of(organization), plan_credit(organization)) == (70 * DOLLAR, 10 * DOLLAR)


def test_a_period_that_is_renewed_late_starts_when_it_was_due(organization: Organization, owner: User) -> None:
    choose(organization, make_plan(), actor=owner, now=START)
    renew_due(DUE + timedelta(days=3))
    subscription = Subscription.objects.get()
    assert subscription.period_starts_at == DUE
    assert subscription.period_ends_at == datetime(2027, 3, 31, 9, 30, tzinfo=UTC)


def test_a_renewal_wipes_nobodys_spend(organization: Organization, owner: User) -> None:
    """LiteLLM 22013: a reset job wiped a new customer's spend."""
    choose(organization, make_plan(), actor=owner, now=START)
    ensure_partitions(DUE.date(), behind=1, ahead=1)
    make_model()
    newcomer, _ = make_key(make_organization("New", now=DUE), budgets=Budgets(month=DOLLAR))
    line = usage_line(newcomer, at=DUE - timedelta(minutes=1))
    assert post_segment(make_segment(raw(line), now=DUE).pk, now=DUE)
    before = spent([newcomer], DUE)
    assert before[0].month > 0
    assert renew_due(DUE + timedelta(minutes=1)) == {**NOTHING, "renewed": 1}
    assert spent([newcomer], DUE) == before
    assert balance_of(newcomer.organization) == -before[0].month


def test_after_a_standstill_the_missed_periods_follow_in_order(organization: Organization, owner: User) -> None:
    choose(organization, make_plan(), actor=owner, now=START)
    late = datetime(2027, 4, 20, tzinfo=UTC)
    assert renew_due(late) == {**NOTHING, "renewed": 2}
    periods = SubscriptionPeriod.objects.order_by("number").values_list("number", "starts_at", "ends_at")
    assert [(number, f"{start:%m-%d}", f"{end:%m-%d}") for number, start, end in periods] == [
        (1, "01-31", "02-28"),
        (2, "02-28", "03-31"),
        (3, "03-31", "04-30"),
    ]
    # What came late isn't lost: both credits last as long as the period that runs.
    assert expire_grants(late) == 1
    ends = CreditGrant.objects.filter(source="plan", remaining_nanos__gt=0).values_list("expires_at", flat=True)
    assert [f"{end:%m-%d}" for end in ends] == ["04-30", "04-30"]
    assert balance_of(organization) == (100 - 3 * 20 + 2 * 10) * DOLLAR


def test_two_schedulers_at_once_renew_a_plan_once(organization: Organization, owner: User) -> None:
    """Polar 11065: two schedulers renewed one plan."""
    choose(organization, make_plan(), actor=owner, now=START)
    told: list[dict[str, int]] = []
    at_once(lambda _: told.append(renew_due(DUE)))
    assert SubscriptionPeriod.objects.count() == LedgerTransaction.objects.filter(kind="fee").count() == 2
    # The others wait and find nothing due: constraints alone would break them.
    assert [sum(counts[name] for counts in told) for name in ("renewed", "broken", "put off")] == [1, 0, 0]
    assert balance_of(organization) == 80 * DOLLAR


def test_a_plan_is_paid_while_usage_is_posted(organization: Organization, owner: User, empty_valkey: Any) -> None:
    """Valkey hears of each posting a moment later: the fee waits for that, and nothing is held at the end."""
    version = make_plan(included_credit_nanos=0)

    def work(number: int) -> None:
        if number == 0:
            choose(organization, version, actor=owner, now=START)
        else:
            for again in range(5):
                use(organization, DOLLAR, now=START, key=f"{number}-{again}")

    at_once(work)
    assert balance_of(organization) == (100 - 20 - 25) * DOLLAR
    name = names.organization_hash(organization.public_id)
    assert empty_valkey.hmget(name, "balance", "held") == [str(55 * DOLLAR).encode(), b"0"]


def test_who_subscribes_twice_at_once_pays_once(organization: Organization, owner: User) -> None:
    """Lago 4945's kind: two at the same moment."""
    version = make_plan(included_credit_nanos=0)
    at_once(lambda _: subscribe(organization, version, owner))
    assert SubscriptionPeriod.objects.count() == LedgerTransaction.objects.filter(kind="fee").count() == 1
    assert balance_of(organization) == 80 * DOLLAR


def subscribe(organization: Organization, version: PlanVersion, owner: User) -> None:
    with suppress(PlanError):
        choose(organization, version, actor=owner, now=START)


class TestRollingOver:
    def test_what_is_left_goes_into_the_next_period(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(rolls_over=True), actor=owner, now=START)
        use(organization, 4 * DOLLAR, now=START, key="some")
        renew_due(DUE)
        assert plan_credit(organization) == 16 * DOLLAR

    def test_no_more_than_a_period_includes_rolls_over(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(rolls_over=True), actor=owner, now=START)
        renew_due(DUE)
        renew_due(datetime(2027, 3, 31, 10, tzinfo=UTC))
        assert plan_credit(organization) == 20 * DOLLAR
        assert balance_of(organization) == (100 - 3 * 20 + 20) * DOLLAR

    def test_it_lasts_thirty_days_longer_than_the_plan(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(rolls_over=True), actor=owner, now=START)
        renew_due(DUE)
        at = DUE + timedelta(days=1)
        cancel_now(organization, actor=owner, now=at)
        assert set(CreditGrant.objects.filter(source="plan").values_list("expires_at", flat=True)) == {
            at + timedelta(days=30)
        }


class TestUnpaid:
    @pytest.fixture(autouse=True)
    def spent(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(limits=Limits(requests_per_minute=600)), actor=owner, now=START)
        use(organization, 80 * DOLLAR, now=START, key="nearly all")

    def test_it_is_tried_each_night_and_the_limits_stay(self, organization: Organization) -> None:
        assert renew_due(DUE) == {**NOTHING, "failed": 1}
        assert renew_due(DUE + timedelta(hours=1)) == NOTHING
        assert renew_due(datetime(2027, 3, 1, tzinfo=UTC)) == {**NOTHING, "failed": 1}
        organization.refresh_from_db()
        assert organization.limits_in_force == Limits(requests_per_minute=600)
        assert SubscriptionEvent.objects.filter(kind="past_due").count() == 1

    def test_money_that_comes_in_time_pays_from_when_it_was_due(self, organization: Organization) -> None:
        renew_due(DUE)
        give_credit(organization, 50 * DOLLAR, key="top-up", now=DUE)
        assert renew_due(datetime(2027, 3, 3, tzinfo=UTC)) == {**NOTHING, "renewed": 1}
        subscription = Subscription.objects.get()
        assert (subscription.past_due_since, subscription.period_starts_at) == (None, DUE)

    def test_after_the_time_of_grace_it_ends(self, organization: Organization) -> None:
        for day in range(7):
            assert renew_due(DUE + timedelta(days=day)) == {**NOTHING, "failed": 1}
        assert renew_due(DUE + timedelta(days=7)) == {**NOTHING, "ended": 1}
        organization.refresh_from_db()
        assert (organization.plan, organization.limits_in_force) == ("", Limits())
        ended = SubscriptionEvent.objects.latest("id")
        assert (ended.kind, ended.cause) == ("ended", "unpaid")

    def test_the_time_of_grace_begins_with_the_first_attempt(self, organization: Organization) -> None:
        """Nobody loses a plan because renewals stood still."""
        assert renew_due(DUE + timedelta(days=100)) == {**NOTHING, "failed": 1}

    def test_another_way_to_pay_is_asked_for_what_is_missing(
        self, organization: Organization, payer: list[int]
    ) -> None:
        assert renew_due(DUE) == {**NOTHING, "renewed": 1}
        assert payer == [10 * DOLLAR]

    @pytest.fixture
    def payer(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        asked: list[int] = []

        def pay(subscription: Subscription, nanos: int, now: datetime) -> renewing.Answer:
            asked.append(nanos)
            give_credit(subscription.organization, nanos, key="card", now=now)
            return renewing.Answer.PAID

        monkeypatch.setattr(renewing, "payers", [pay])
        return asked


def test_one_that_breaks_is_told_and_holds_nobody_up(
    organization: Organization, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_organization("Other", now=START)
    give_credit(other, 100 * DOLLAR, now=START)
    version = make_plan()
    for subscriber in (organization, other):
        choose(subscriber, version, actor=owner, now=START)
    works = renewing.begin_due

    def breaks(subscription: Subscription, *args: Any, **fields: Any) -> None:
        if subscription.organization_id == organization.pk:
            raise RuntimeError("broken")
        works(subscription, *args, **fields)

    with monkeypatch.context() as breaking:
        breaking.setattr(renewing, "begin_due", breaks)
        assert renew_due(DUE) == {**NOTHING, "renewed": 1, "broken": 1}
    assert Alarm.objects.get(kind="renewal_breaks").closed_at is None
    assert renew_due(DUE) == {**NOTHING, "renewed": 1}


def test_with_valkey_away_a_renewal_is_put_off(
    organization: Organization, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(organization, make_plan(), actor=owner, now=START)

    def away(*_: object, **__: object) -> None:
        raise Unreachable("away")

    with monkeypatch.context() as losing:
        losing.setattr("hotstate.aside.set_aside", away)
        assert renew_due(DUE) == {**NOTHING, "put off": 1}
    assert SubscriptionEvent.objects.filter(kind="past_due").count() == 0
    assert renew_due(DUE) == {**NOTHING, "renewed": 1}


class KilledError(BaseException):
    """As a signal ends a worker: nothing catches it."""


def test_killed_between_setting_aside_and_posting_it_is_done_again(
    organization: Organization, owner: User, monkeypatch: pytest.MonkeyPatch, empty_valkey: Any
) -> None:
    from hotstate import holds

    choose(organization, make_plan(), actor=owner, now=START)
    holds_of = names.holds_of(organization.public_id)

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr("billing.plans.beginning._write", killed)
        killing.setattr("hotstate.aside.give_back", lambda *_: None)
        with pytest.raises(KilledError):
            renew_due(DUE)
    assert empty_valkey.hlen(holds_of) == 1
    # Its lease ends, and it was no request's: nothing to explain.
    assert holds.sweep_lapsed(DUE + timedelta(minutes=2)) == 0
    assert empty_valkey.hlen(holds_of) == 0
    assert renew_due(DUE + timedelta(minutes=2)) == {**NOTHING, "renewed": 1}
