"""What upstreams charge us: versions by time, never edited, and the margins that follow."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from accounts.models import AuditEntry
from billing.costs import cost_tariffs, set_cost
from billing.margins import GROUPS, margins
from billing.meters import METERS
from billing.models import DailyUsage, RollupKind, RouteCost, RouteCostLine
from billing.price_rules import PriceError
from billing.tariff import UnitPrice
from catalog.models import Model, Route
from tests.cast import make_key, make_model, make_organization, make_user

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = NOW.date()


@pytest.fixture
def model(db: None) -> Model:
    return make_model()


@pytest.fixture
def route(model: Model) -> Route:
    return model.routes.get()


def cost(route: Route, amount: int, *, at: datetime | None = None, now: datetime = NOW) -> RouteCost:
    prices = [UnitPrice("input_tokens", amount, 10**6), UnitPrice("output_tokens", 2 * amount, 10**6)]
    return set_cost(route, prices, effective_from=at, actor=None, reason="Contract", now=now)


def use(route: Route, day: date, *, name: str = "Acme", units: int = 10**6, nanos: int = 1_000) -> None:
    organization = make_organization(name)
    DailyUsage.objects.create(
        organization=organization,
        api_key=make_key(organization)[0],
        model=route.model,
        route=route,
        day=day,
        kind=RollupKind.USAGE,
        events=1,
        charge_nanos=nanos,
        **dict.fromkeys(METERS, 0) | {"input_tokens": units},
    )


class TestCosts:
    def test_they_are_in_force_by_time_and_may_start_in_the_past(self, route: Route) -> None:
        cost(route, 5)
        cost(route, 3, at=NOW - 10 * DAY)
        for at, amount in ((NOW - 11 * DAY, None), (NOW - DAY, 3), (NOW, 5)):
            found = cost_tariffs([route.pk], at).get(route.pk)
            assert (found.unit_prices[0].amount_nanos if found else None) == amount

    def test_one_of_the_same_start_is_superseded_and_kept(self, route: Route) -> None:
        wrong, right = cost(route, 5, at=NOW), cost(route, 6, at=NOW, now=NOW + DAY)
        wrong.refresh_from_db()
        assert wrong.superseded_at == NOW + DAY
        assert list(RouteCost.objects.standing()) == [right]

    def test_no_prices_is_not_known_any_more(self, route: Route) -> None:
        cost(route, 5, at=NOW - DAY)
        set_cost(route, [], effective_from=NOW, actor=None, reason="Contract ended", now=NOW)
        assert cost_tariffs([route.pk], NOW) == {}

    def test_they_are_audited(self, route: Route) -> None:
        staff = make_user("staff@example.com", is_staff=True)
        cost(route, 5, at=NOW - DAY)
        set_cost(route, [UnitPrice("requests", 7)], effective_from=None, actor=staff, reason="New contract", now=NOW)
        entry = AuditEntry.objects.filter(action="cost.set").latest("pk")
        assert (entry.actor, entry.reason, entry.before["input_tokens"]) == (staff, "New contract", [5, 10**6])
        assert entry.after["requests"] == [7, 1]

    def test_wrong_ones_are_refused(self, route: Route) -> None:
        with pytest.raises(PriceError, match="out of bounds"):
            set_cost(route, [UnitPrice("requests", -7)], effective_from=None, actor=None, reason="", now=NOW)
        assert not RouteCost.objects.exists()

    def test_the_database_refuses_to_change_them(self, route: Route) -> None:
        kept = cost(route, 5)
        for change in (
            lambda: RouteCost.objects.filter(pk=kept.pk).update(effective_from=NOW - DAY),
            lambda: RouteCostLine.objects.filter(cost=kept).update(amount_nanos=1),
            lambda: RouteCostLine.objects.filter(cost=kept).delete(),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                change()


class TestMargins:
    def test_each_day_has_the_cost_that_was_in_force_when_it_ended(self, route: Route) -> None:
        cost(route, 100, at=NOW - 2 * DAY)
        cost(route, 300, at=NOW)
        for days, nanos in ((3, 1_000), (2, 1_000), (1, 1_000), (0, 1_000)):
            use(route, TODAY - days * DAY, nanos=nanos)
        (found,) = margins("model", first=TODAY - 3 * DAY, last=TODAY).shown
        assert (found.revenue_nanos, found.costed_nanos, found.cost_nanos) == (4_000, 3_000, 100 + 100 + 300)
        assert (found.margin_nanos, found.percent, found.unknown_nanos) == (2_500, 83, 1_000)

    def test_a_finer_meter_costs_what_the_coarser_one_does(self, route: Route) -> None:
        cost(route, 100, at=NOW - DAY)
        use(route, TODAY)
        DailyUsage.objects.update(cached_input_tokens=10**6, reasoning_tokens=10**6)
        (found,) = margins("model", first=TODAY, last=TODAY).shown
        assert found.cost_nanos == 100 + 100 + 200

    def test_without_any_cost_revenue_is_still_told(self, route: Route) -> None:
        use(route, TODAY)
        (found,) = margins("model", first=TODAY, last=TODAY).shown
        assert (found.revenue_nanos, found.costed_nanos, found.cost_nanos, found.percent) == (1_000, 0, 0, None)

    def test_a_loss_is_negative(self, route: Route) -> None:
        cost(route, 4_000, at=NOW - DAY)
        use(route, TODAY)
        (found,) = margins("model", first=TODAY, last=TODAY).shown
        assert (found.margin_nanos, found.percent) == (-3_000, -300)

    def test_costs_of_odd_units_are_added_before_they_are_rounded(self, route: Route) -> None:
        other = make_model("other").routes.get()
        set_cost(route, [UnitPrice("input_tokens", 1, 3)], effective_from=NOW, actor=None, reason="", now=NOW)
        set_cost(other, [UnitPrice("input_tokens", 1, 7)], effective_from=NOW, actor=None, reason="", now=NOW)
        organization_units = ((route, 1), (route, 1), (other, 7))
        for place, (of, units) in enumerate(organization_units):
            use(of, TODAY, name=f"o{place}", units=units)
        assert {found.name: found.cost_nanos for found in margins("model", first=TODAY, last=TODAY).shown} == {
            "demo-chat": 1,
            "other": 1,
        }

    def test_a_page_has_some_and_the_sum_of_all(self, route: Route) -> None:
        cost(route, 100, at=NOW - DAY)
        for place in range(5):
            use(route, TODAY, name=f"o{place}", nanos=1_000 * place)
        found = margins("organization", first=TODAY, last=TODAY, skip=1, most=2)
        assert [margin.name for margin in found.shown] == ["o3", "o2"]
        assert (found.count, found.total.events) == (5, 5)
        assert (found.total.revenue_nanos, found.total.costed_nanos, found.total.cost_nanos) == (10_000, 10_000, 500)
        assert margins("organization", first=TODAY, last=TODAY, skip=9).total == found.total

    @pytest.mark.parametrize("group", GROUPS)
    def test_every_group_has_names_and_adds_up(self, route: Route, group: str) -> None:
        cost(route, 100, at=NOW - DAY)
        for name, nanos in (("One", 5_000), ("Two", 7_000)):
            use(route, TODAY, name=name, nanos=nanos)
        found = margins(group, first=TODAY, last=TODAY).shown
        assert sum(margin.revenue_nanos for margin in found) == 12_000
        assert sum(margin.cost_nanos for margin in found) == 200
        names = {"model": ["demo-chat"], "organization": ["Two", "One"], "route": ["demo-chat → test"]}
        assert [margin.name for margin in found] == names[group]
