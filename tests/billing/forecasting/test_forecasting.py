"""What a draft would have made of past usage is what the same usage is charged once the draft is published."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import ApiKey, Organization, User
from billing import posting
from billing.correcting import correct
from billing.correction_rules import one_event, otherwise
from billing.costs import set_cost
from billing.drafts.editing import open_draft, put
from billing.drafts.publishing import discard, publish
from billing.drafts.versions import Wanted
from billing.forecasting import portions
from billing.forecasting.asking import ask, cancel
from billing.forecasting.results import results
from billing.models import Forecast, ForecastSum, PriceDraft, PriceList, UsageEvent
from billing.partitions import ensure_partitions
from billing.price_rules import PriceError
from billing.tariff import UnitPrice
from billing.terms import change_terms
from catalog.models import Model
from tests.cast import make_key, make_model, make_organization, make_segment, make_user, raw, usage_line

# A Friday noon: off-peak times of the week are told apart.
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEK = timedelta(weeks=1)
MILLION = 10**6
# Tiers, a variant, and off-peak times: cheaper by night.
NEW = Wanted(
    (
        UnitPrice("input_tokens", 1_234_567, MILLION),
        UnitPrice("input_tokens", 7_654_321, MILLION, 2_000),
        UnitPrice("output_tokens", 9_999_999, MILLION),
        UnitPrice("images", 77_777, 3),
        UnitPrice("images", 155_555, 3, 0, "1024x1024-hd"),
    ),
    ({"days": [0, 1, 2, 3, 4, 5, 6], "from": "20:00", "to": "06:00", "basis_points": 3_333},),
)
USAGES: list[dict[str, Any]] = [
    {"usage": {"requests": 1, "input_tokens": 1_999, "output_tokens": 1}},
    {"usage": {"requests": 1, "input_tokens": 1_000, "cached_input_tokens": 1_000, "output_tokens": 333}},
    {"usage": {"requests": 1, "images": 2}, "variant": "1024x1024-hd"},
    {"usage": {"requests": 1, "images": 2}, "variant": "other"},
    {"usage": {"requests": 1, "input_tokens": 5}, "outcome": "upstream_error", "status": 502},
    {"usage": {"requests": 1, "input_tokens": 0, "output_tokens": 0}},
    {"usage": {"requests": 1, "input_tokens": 7, "reasoning_tokens": 11}, "outcome": "client_disconnected"},
]
HOURS = (1, 9, 15, 26, 24 * 7 + 3, 24 * 13)


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.com", is_staff=True)


@pytest.fixture
def model(db: None) -> Model:
    return make_model("m", prices=dict.fromkeys(("input_tokens", "output_tokens", "images"), (3 * 10**9, MILLION)))


@pytest.fixture
def draft(staff: User, model: Model) -> PriceDraft:
    draft = open_draft(staff, NOW)
    put(draft, {(model.pk, None): NEW}, NOW)
    return draft


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The forecasts that workers were told of."""
    told: list[int] = []
    monkeypatch.setattr("billing.forecasting.asking.enqueue.after_commit", lambda _task, pk: told.append(pk))
    return told


def at(moment: datetime = NOW) -> Callable[[], datetime]:
    return lambda: moment


def use(keys: list[ApiKey], *, since: datetime = NOW, source: str = "gw-test") -> int:
    """Post the usage of each key at each hour before a moment; return what it was charged, nano-dollars."""
    for hours in HOURS:
        ensure_partitions((since - timedelta(hours=hours)).date())
    lines = [
        usage_line(key, "m", at=since - timedelta(hours=hours), seq=place, source=source, **fields)
        for place, (key, hours, fields) in enumerate(
            ((key, hours, fields) for key in keys for hours in HOURS for fields in USAGES), 1
        )
    ]
    segment = make_segment(raw(*lines), source=source, now=since)
    posting.post_segment(segment.pk, now=since)
    segment.refresh_from_db()
    assert segment.quarantined == 0
    return sum(UsageEvent.objects.filter(segment_id=segment.pk).values_list("charge_nanos", flat=True))


def forecast(draft: PriceDraft, staff: User) -> Forecast:
    asked = ask(draft, actor=staff, now=NOW)
    portions.carry_out(asked.pk, at())
    asked.refresh_from_db()
    assert asked.state == Forecast.State.DONE
    return asked


def cast(model: Model) -> list[ApiKey]:
    """Keys of organizations that buy at the public prices, with a discount, and at prices of their own."""
    now = NOW - 4 * WEEK
    plain, cheaper, own = (make_organization(name, now=now) for name in ("Plain", "Cheaper", "Own"))
    change_terms(cheaper, now=now, actor=None, reason="", own_discount_bp=1_234)
    prices = PriceList.objects.create(name="Own", created_at=now)
    change_terms(own, now=now, actor=None, reason="", own_price_list=prices)
    return [make_key(organization)[0] for organization in (plain, cheaper, own)]


class TestTheForecast:
    def test_equals_what_the_same_usage_is_charged_once_the_draft_is_published(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], empty_valkey: Any
    ) -> None:
        keys = cast(model)
        own = PriceList.objects.get()
        put(draft, {(model.pk, own.pk): Wanted((*NEW.prices[:3], UnitPrice("images", 1, 7)))}, NOW)
        charged = use(keys)
        found = results(forecast(draft, staff))
        assert found.in_all.events == len(keys) * len(HOURS) * len(USAGES)
        assert found.in_all.before_nanos == found.in_all.charged_nanos == charged
        publish(draft, effective_from=None, actor=staff, reason="", clock=at())
        replayed = use(keys, since=NOW + 3 * WEEK, source="gw-replay")
        assert found.in_all.after_nanos == replayed
        assert replayed not in (0, charged)
        assert found.in_all.unpriced_after == 0
        by_organization = {effect.name: effect.after_nanos for effect in found.organizations}
        assert len(by_organization) == 3
        for name, nanos in by_organization.items():
            events = UsageEvent.objects.filter(source="gw-replay", organization__name=name)
            assert sum(events.values_list("charge_nanos", flat=True)) == nanos

    def test_is_the_same_by_portions_of_any_size(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(cast(model))
        whole = results(forecast(draft, staff))
        monkeypatch.setattr(portions, "PORTION", 5)
        assert results(forecast(draft, staff)) == whole

    def test_rates_what_corrections_made_of_an_event(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], empty_valkey: Any
    ) -> None:
        (key,) = cast(model)[:1]
        use([key])
        event = UsageEvent.objects.filter(usage__input_tokens=1_999).latest("id")
        before = results(forecast(draft, staff)).in_all
        correct(one_event(event.pk), otherwise(usage={}), what="void", reason="Twice", actor=None, clock=at())
        after = results(forecast(draft, staff)).in_all
        assert after.charged_nanos == before.charged_nanos - event.charge_nanos
        assert after.before_nanos == after.charged_nanos
        assert after.after_nanos < before.after_nanos

    def test_counts_events_that_would_have_no_price(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int]
    ) -> None:
        put(draft, {(model.pk, None): Wanted((UnitPrice("images", 1),))}, NOW)
        use(cast(model)[:1])
        found = results(forecast(draft, staff)).in_all
        assert found.unpriced_before == 0
        assert found.unpriced_after == 3 * len(HOURS)

    def test_has_margins_where_costs_are_known(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int]
    ) -> None:
        (key,) = cast(model)[:1]
        route = model.routes.get()
        cost = [UnitPrice("input_tokens", 10**9, MILLION), UnitPrice("output_tokens", 10**9, MILLION)]
        set_cost(route, [*cost, UnitPrice("images", 0)], effective_from=NOW, actor=None, reason="", now=NOW)
        ensure_partitions(NOW.date())
        lines = [
            usage_line(key, "m", at=NOW - timedelta(minutes=5), seq=seq, **fields)
            for seq, fields in enumerate(({"route": str(route.pk)}, {}), 1)
        ]
        posting.post_segment(make_segment(raw(*lines), now=NOW).pk, now=NOW)
        found = results(forecast(draft, staff)).in_all
        assert (found.events, found.cost_nanos) == (2, 1_100 * 1_000)
        assert found.costed_after_nanos * 2 == found.after_nanos
        assert found.margin_before_nanos == 1_100 * 2_000
        assert not found.all_costed

    def test_tells_of_other_models_what_they_were_charged(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int]
    ) -> None:
        other, (key,) = make_model("other"), cast(model)[:1]
        ensure_partitions(NOW.date())
        line = usage_line(key, other.public_id, at=NOW - timedelta(minutes=5))
        posting.post_segment(make_segment(raw(line), now=NOW).pk, now=NOW)
        found = forecast(draft, staff)
        assert found.other_nanos == UsageEvent.objects.get().charge_nanos
        assert not found.sums.exists()


class TestItsCourse:
    def test_a_worker_is_told_and_progress_is_seen(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(cast(model)[:1])
        asked = ask(draft, actor=staff, now=NOW)
        assert told[-1] == asked.pk
        assert (asked.state, asked.total) == (Forecast.State.WAITING, len(HOURS) * len(USAGES))
        monkeypatch.setattr(portions, "PORTION", 5)
        begun = portions._begin(asked.pk)
        assert begun
        while not Forecast.objects.get(pk=asked.pk).done:
            assert portions._go_on(asked.pk, begun, NOW)
        asked.refresh_from_db()
        assert (asked.state, asked.done) == (Forecast.State.RUNNING, 5)

    def test_killed_it_goes_on_where_it_was(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(cast(model)[:1])
        whole = results(forecast(draft, staff))
        monkeypatch.setattr(portions, "PORTION", 5)
        asked = self.half_way(draft, staff)
        portions.carry_out(asked.pk, at())
        assert results(asked) == whole

    def test_killed_it_begins_again_where_prices_changed_since(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(cast(model)[:1])
        monkeypatch.setattr(portions, "PORTION", 5)
        asked = self.half_way(draft, staff)
        route = model.routes.get()
        set_cost(route, [UnitPrice("requests", 1)], effective_from=NOW, actor=None, reason="", now=NOW)
        portions.carry_out(asked.pk, at())
        assert results(asked).in_all.events == len(HOURS) * len(USAGES)

    def half_way(self, draft: PriceDraft, staff: User) -> Forecast:
        asked = ask(draft, actor=staff, now=NOW)
        begun = portions._begin(asked.pk)
        assert begun
        while Forecast.objects.get(pk=asked.pk).done < 10:
            portions._go_on(asked.pk, begun, NOW)
        return asked

    @pytest.mark.parametrize("how", ["cancel", "change", "discard", "publish", "again"])
    def test_it_stops_where_it_is_of_no_use_any_more(
        self, draft: PriceDraft, model: Model, staff: User, told: list[int], how: str
    ) -> None:
        use(cast(model)[:1])
        asked = ask(draft, actor=staff, now=NOW)
        begun = portions._begin(asked.pk)
        assert begun
        stop: dict[str, Callable[[], object]] = {
            "cancel": lambda: cancel(draft, NOW),
            "change": lambda: put(draft, {(model.pk, None): Wanted((UnitPrice("images", 1),))}, NOW),
            "discard": lambda: discard(draft, actor=staff, now=NOW),
            "publish": lambda: publish(draft, effective_from=None, actor=staff, reason="", clock=at()),
            "again": lambda: ask(draft, actor=staff, now=NOW),
        }
        stop[how]()
        assert not portions._go_on(asked.pk, begun, NOW)
        asked.refresh_from_db()
        assert asked.state == (Forecast.State.CANCELLED if how == "cancel" else Forecast.State.SUPERSEDED)
        assert asked.finished_at == NOW
        assert not ForecastSum.objects.filter(forecast=asked).exists()

    def test_nothing_can_be_asked_of_an_empty_draft_or_a_closed_one(self, staff: User, draft: PriceDraft) -> None:
        discard(draft, actor=staff, now=NOW)
        with pytest.raises(PriceError, match="discarded"):
            ask(draft, actor=staff, now=NOW)
        with pytest.raises(PriceError, match="nothing"):
            ask(open_draft(staff, NOW), actor=staff, now=NOW)


def test_the_ten_most_affected_organizations_come_first(
    draft: PriceDraft, model: Model, staff: User, told: list[int]
) -> None:
    asked = ask(draft, actor=staff, now=NOW)
    organizations: list[Organization] = [make_organization(f"o{place}") for place in range(12)]
    for place, organization in enumerate(organizations):
        change = place * 100 * (-1) ** place
        ForecastSum.objects.create(
            forecast=asked, organization=organization, model=model, before_nanos=10_000, after_nanos=10_000 + change
        )
    found = results(asked).organizations
    assert [effect.name for effect in found] == [f"o{place}" for place in range(11, 1, -1)]
    assert [(effect.change_nanos, effect.change_bp) for effect in found[:2]] == [(-1_100, -1_100), (1_000, 1_000)]
