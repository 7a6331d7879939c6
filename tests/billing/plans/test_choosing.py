"""Subscribing, changing and cancelling: what is paid, what comes back, what stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import AuditEntry, Organization, User
from billing.expiry import expire_grants
from billing.models import (
    LedgerTransaction,
    PlanVersion,
    PriceList,
    Subscription,
    SubscriptionEvent,
    SubscriptionPeriod,
)
from billing.plans.choosing import choose, choose_at_end, keep
from billing.plans.ending import cancel_at_end, cancel_now
from billing.plans.errors import NotEnoughError, OtherwiseError, PlanError, PutOffError
from billing.plans.offering import Offer, add_version, archive
from billing.plans.quoting import quote
from billing.plans.renewing import renew_due
from billing.prices import NOTICE
from billing.terms import in_force, milliseconds
from hotstate import names
from hotstate.records import Limits
from tests.billing.plans.conftest import START, balance_of, plan_credit, use
from tests.cast import DOLLAR, make_organization, make_plan

HALF = START + (datetime(2027, 2, 28, 9, 30, tzinfo=UTC) - START) / 2


def kinds(organization: Organization) -> list[str]:
    return list(
        SubscriptionEvent.objects.filter(organization=organization).order_by("id").values_list("kind", flat=True)
    )


class TestSubscribing:
    def test_pays_the_fee_and_brings_the_credit_and_the_limits(
        self, organization: Organization, owner: User, empty_valkey: Any
    ) -> None:
        version = make_plan(limits=Limits(requests_per_minute=600), overdraft_nanos=5 * DOLLAR)
        subscription = choose(organization, version, actor=owner, now=START)
        assert balance_of(organization) == 90 * DOLLAR
        assert plan_credit(organization) == 10 * DOLLAR
        assert subscription.period_ends_at == datetime(2027, 2, 28, 9, 30, tzinfo=UTC)
        organization.refresh_from_db()
        assert (organization.plan, organization.limits_in_force) == ("pro", Limits(requests_per_minute=600))
        published = empty_valkey.hgetall(names.organization_hash(organization.public_id))
        assert (published[b"requests_per_minute"], published[b"overdraft"]) == (b"600", b"5000000000")
        assert (published[b"balance"], published[b"held"]) == (b"90000000000", b"0")
        assert kinds(organization) == ["subscribed"]
        assert AuditEntry.objects.filter(action="plan.choose", actor=owner).exists()

    def test_its_discount_prices_and_models_come_with_it_and_go_with_it(
        self, organization: Organization, owner: User
    ) -> None:
        prices = PriceList.objects.create(name="Pro", created_at=START)
        version = make_plan(discount_bp=1500, price_list=prices, allowed_models=("demo-*",))
        choose(organization, version, actor=owner, now=START)
        organization.refresh_from_db()
        terms = in_force(organization.record().terms, milliseconds(START + NOTICE))
        assert (terms.plan_discount_bp, terms.plan_list, terms.models) == (1500, prices.pk, {"demo-*"})
        cancel_now(organization, actor=owner, now=HALF)
        organization.refresh_from_db()
        terms = in_force(organization.record().terms, milliseconds(HALF + NOTICE))
        assert (terms.plan_discount_bp, terms.plan_list, terms.models) == (None, None, frozenset())

    def test_an_organizations_own_limit_goes_before_its_plans(self, organization: Organization, owner: User) -> None:
        organization.requests_per_minute, organization.overdraft_nanos = 5, 0
        organization.save()
        limits = Limits(requests_per_minute=600, concurrent_requests=9)
        choose(organization, make_plan(limits=limits, overdraft_nanos=DOLLAR), actor=owner, now=START)
        organization.refresh_from_db()
        record = organization.record()
        assert (record.limits, record.overdraft_nanos) == (Limits(requests_per_minute=5, concurrent_requests=9), 0)

    def test_a_fee_that_the_balance_does_not_cover_changes_nothing(
        self, organization: Organization, owner: User
    ) -> None:
        with pytest.raises(NotEnoughError) as raised:
            choose(organization, make_plan(fee_nanos=101 * DOLLAR), actor=owner, now=START)
        assert raised.value.missing_nanos == DOLLAR
        assert balance_of(organization) == 100 * DOLLAR
        assert not Subscription.objects.exists()

    def test_money_that_running_requests_hold_pays_no_fee(
        self, organization: Organization, owner: User, empty_valkey: Any
    ) -> None:
        from hotstate.holds import OPEN, Hold, register

        org = organization.public_id
        register(empty_valkey, [Hold(org, "018f0000-0000-7000-8000-000000000000", OPEN, 91 * DOLLAR, "key_a")], 2**52)
        version = make_plan()
        with pytest.raises(NotEnoughError, match="Running requests"):
            choose(organization, version, actor=owner, now=START)
        assert balance_of(organization) == 100 * DOLLAR
        fields = empty_valkey.hmget(names.organization_hash(org), "held")
        assert fields == [str(91 * DOLLAR).encode()]

    def test_with_valkey_away_nothing_is_guessed(
        self, organization: Organization, owner: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hotstate.errors import Unreachable

        def away(*_: object, **__: object) -> None:
            raise Unreachable("away")

        version = make_plan()
        monkeypatch.setattr("hotstate.aside.set_aside", away)
        with pytest.raises(PutOffError):
            choose(organization, version, actor=owner, now=START)
        assert balance_of(organization) == 100 * DOLLAR
        assert not Subscription.objects.exists()

    def test_an_archived_plan_and_an_old_version_are_not_to_be_had(
        self, organization: Organization, owner: User
    ) -> None:
        old = make_plan()
        new = add_version(
            old.plan, Offer(period=PlanVersion.Period.MONTH, fee_nanos=1), actor=None, reason="", now=START
        )
        with pytest.raises(PlanError, match="has changed"):
            choose(organization, old, actor=owner, now=START)
        archive(new.plan, archived=True, actor=owner, reason="Old", now=START)
        with pytest.raises(PlanError, match="isn't offered"):
            choose(organization, new, actor=owner, now=START)


class TestChangingNow:
    def test_the_unused_time_comes_back_and_the_earned_credit_stays(
        self, organization: Organization, owner: User
    ) -> None:
        """Polar 9037: a change in mid-cycle lost credits."""
        small, large = make_plan(), make_plan("max", fee_nanos=50 * DOLLAR, included_credit_nanos=30 * DOLLAR)
        choose(organization, small, actor=owner, now=START)
        use(organization, 2 * DOLLAR, now=START, key="some")
        offer = quote(organization, large, at=HALF)
        assert (offer.rest.refund_nanos, offer.rest.kept_nanos, offer.rest.taken_back_nanos) == (
            10 * DOLLAR,
            3 * DOLLAR,
            5 * DOLLAR,
        )
        choose(organization, large, actor=owner, now=HALF, at=HALF, shown_nanos=offer.net_nanos)
        assert offer.net_nanos == 40 * DOLLAR
        assert balance_of(organization) == (100 - 20 + 10 - 2 + 10 - 5 - 50 + 30) * DOLLAR
        assert plan_credit(organization) == 33 * DOLLAR
        assert kinds(organization) == ["subscribed", "changed"]

    def test_nobody_uses_a_months_credit_on_the_first_day_and_gets_the_fee_back(
        self, organization: Organization, owner: User
    ) -> None:
        choose(organization, make_plan(), actor=owner, now=START)
        use(organization, 10 * DOLLAR, now=START, key="all")
        soon = START + timedelta(days=28) / 10
        offer = quote(organization, None, at=soon)
        # 18 of 20 dollars are for time that is left; 10 are used where 1 was earned.
        assert (offer.rest.refund_nanos, offer.rest.taken_back_nanos) == (9 * DOLLAR, 0)

    def test_renewing_early_eats_no_paid_days(self, organization: Organization, owner: User) -> None:
        """new-api 6978: an early renewal ate the days that were paid."""
        version = make_plan(included_credit_nanos=0)
        choose(organization, version, actor=owner, now=START)
        choose(organization, version, actor=owner, now=HALF)
        assert balance_of(organization) == (100 - 20 + 10 - 20) * DOLLAR
        first, second = SubscriptionPeriod.objects.order_by("number")
        assert (first.cut_at, second.starts_at) == (HALF, HALF)

    def test_what_costs_more_than_was_shown_is_shown_again(self, organization: Organization, owner: User) -> None:
        small, large = make_plan(), make_plan("max")
        choose(organization, small, actor=owner, now=START)
        offer = quote(organization, large, at=HALF)
        use(organization, 9 * DOLLAR, now=HALF, key="meanwhile")
        with pytest.raises(OtherwiseError):
            choose(organization, large, actor=owner, now=HALF, at=HALF, shown_nanos=offer.net_nanos)
        with pytest.raises(OtherwiseError):
            choose(organization, large, actor=owner, now=HALF + timedelta(hours=1), at=HALF)
        assert Subscription.objects.get().version == small

    def test_who_has_a_version_keeps_it(self, organization: Organization, owner: User) -> None:
        old = make_plan()
        choose(organization, old, actor=owner, now=START)
        offer = Offer(period=PlanVersion.Period.MONTH, fee_nanos=99 * DOLLAR)
        add_version(old.plan, offer, actor=None, reason="Dearer", now=START)
        assert renew_due(START + timedelta(days=28))["renewed"] == 1
        assert expire_grants(START + timedelta(days=28)) == 1
        subscription = Subscription.objects.get()
        assert (subscription.version, balance_of(organization)) == (old, (100 - 20 - 20 + 10) * DOLLAR)


class TestLater:
    def test_a_change_at_the_end_begins_with_the_next_period(self, organization: Organization, owner: User) -> None:
        small, large = make_plan(), make_plan("max", fee_nanos=50 * DOLLAR)
        choose(organization, small, actor=owner, now=START)
        choose_at_end(organization, large, actor=owner, now=HALF)
        assert balance_of(organization) == 90 * DOLLAR
        renew_due(START + timedelta(days=28))
        assert expire_grants(START + timedelta(days=28)) == 1
        subscription = Subscription.objects.get()
        assert (subscription.version, subscription.next_version) == (large, None)
        assert balance_of(organization) == (100 - 20 - 50 + 10) * DOLLAR
        organization.refresh_from_db()
        assert organization.plan == "max"
        assert kinds(organization) == ["subscribed", "change_scheduled", "changed"]

    def test_what_was_to_come_can_be_taken_back(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(), actor=owner, now=START)
        cancel_at_end(organization, actor=owner, now=HALF)
        keep(organization, actor=owner, now=HALF)
        assert renew_due(START + timedelta(days=28))["renewed"] == 1

    def test_a_plan_that_is_cancelled_serves_until_its_end(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(limits=Limits(requests_per_minute=600)), actor=owner, now=START)
        cancel_at_end(organization, actor=owner, now=HALF)
        organization.refresh_from_db()
        assert organization.limits_in_force == Limits(requests_per_minute=600)
        end = START + timedelta(days=28)
        assert renew_due(end + timedelta(hours=5))["ended"] == 1
        organization.refresh_from_db()
        assert (organization.plan, organization.limits_in_force) == ("", Limits())
        assert Subscription.objects.get().ended_at == end
        assert expire_grants(end) == 1
        assert balance_of(organization) == 80 * DOLLAR

    def test_cancelling_now_gives_the_rest_back(self, organization: Organization, owner: User) -> None:
        choose(organization, make_plan(), actor=owner, now=START)
        cancel_now(organization, actor=owner, now=HALF)
        assert balance_of(organization) == (100 - 20 + 10 + 5) * DOLLAR
        assert kinds(organization) == ["subscribed", "ended"]
        organization.refresh_from_db()
        assert organization.plan == ""
        # And what was kept expires with the period that had been paid.
        assert expire_grants(START + timedelta(days=40)) == 1
        choose(organization, make_plan("other"), actor=owner, now=START + timedelta(days=40))
        assert balance_of(organization) == (100 - 20 + 10 - 20 + 10) * DOLLAR

    def test_what_was_used_of_a_plan_comes_from_the_balance_afterwards(
        self, organization: Organization, owner: User
    ) -> None:
        """new-api 5661: a spent plan didn't fall back to the wallet."""
        choose(organization, make_plan(), actor=owner, now=START)
        use(organization, 9 * DOLLAR, now=START, key="first")
        assert (plan_credit(organization), balance_of(organization)) == (1 * DOLLAR, 81 * DOLLAR)
        use(organization, 9 * DOLLAR, now=START, key="second")
        assert (plan_credit(organization), balance_of(organization)) == (0, 72 * DOLLAR)


def test_a_plans_credit_pays_no_fees(transactional_db: None, empty_valkey: Any) -> None:
    """Or a plan that includes more than it costs would pay itself."""
    organization = make_organization(now=START)
    free = make_plan("free", fee_nanos=0, included_credit_nanos=30 * DOLLAR)
    choose(organization, free, actor=None, now=START)
    with pytest.raises(NotEnoughError):
        choose(organization, make_plan(), actor=None, now=HALF)
    assert not LedgerTransaction.objects.filter(kind="fee").exists()
