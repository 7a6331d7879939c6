"""A draft is published whole, on time, over what it was begun on, or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from accounts.models import AuditEntry, User
from billing.drafts.editing import ClosedError, keep_over_newer, open_draft, put
from billing.drafts.publishing import StaleError, discard, notice, publish
from billing.drafts.versions import Wanted
from billing.models import PriceDraft, PriceList, PriceVersion
from billing.price_rules import PriceError
from billing.prices import publish_prices
from billing.rate_card import rate_card
from billing.tariff import UnitPrice
from catalog.models import Model
from hotstate.models import OutboxEntry
from tests.cast import make_model, make_user

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHEAPER = Wanted((UnitPrice("input_tokens", 7, 10**6),))


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.com", is_staff=True)


@pytest.fixture
def models(db: None) -> list[Model]:
    return [make_model(name) for name in ("a", "b", "c")]


@pytest.fixture
def draft(staff: User, models: list[Model]) -> PriceDraft:
    draft = open_draft(staff, NOW)
    put(draft, {(model.pk, None): CHEAPER for model in models}, NOW)
    return draft


def at(moment: datetime = NOW) -> Callable[[], datetime]:
    return lambda: moment


def published(draft: PriceDraft, staff: User, **fields: Any) -> datetime:
    return publish(draft, **{"effective_from": None, "actor": staff, "reason": "Cheaper", "clock": at(), **fields})


def amount(model: Model, moment: datetime) -> int:
    priced = rate_card([model.pk]).tariff(model.pk, moment)
    assert priced
    return priced.tariff.unit_prices[0].amount_nanos


def test_all_lines_start_together_once_gateways_can_know(draft: PriceDraft, models: list[Model], staff: User) -> None:
    starts = published(draft, staff)
    assert starts == NOW + notice(3)
    for model in models:
        assert amount(model, starts) == 7
        assert amount(model, starts - timedelta(microseconds=1)) != 7
    draft.refresh_from_db()
    assert (draft.state, draft.effective_from, draft.closed_by) == (PriceDraft.State.PUBLISHED, starts, staff)


def test_it_is_audited_by_model_and_announced_once(draft: PriceDraft, staff: User) -> None:
    OutboxEntry.objects.all().delete()
    published(draft, staff, effective_from=NOW + HOUR)
    entries = AuditEntry.objects.filter(action="prices.publish").order_by("target")
    assert [(entry.target, entry.actor, entry.reason) for entry in entries] == [
        (name, staff, "Cheaper") for name in ("a", "b", "c")
    ]
    assert entries[0].before["input_tokens"] == [3 * 10**9, 10**6]
    assert entries[0].after == {"input_tokens": [7, 10**6], "effective_from": (NOW + HOUR).isoformat()}
    assert list(OutboxEntry.objects.values_list("kind", flat=True)) == [OutboxEntry.Kind.CATALOG]


def test_the_queries_do_not_grow_with_the_lines(
    draft: PriceDraft, staff: User, django_assert_max_num_queries: Any
) -> None:
    put(draft, {(make_model(f"m{place}").pk, None): CHEAPER for place in range(30)}, NOW)
    with django_assert_max_num_queries(20):
        published(draft, staff)


def test_one_of_the_same_start_is_superseded(draft: PriceDraft, models: list[Model], staff: User) -> None:
    wrong = publish_prices(
        models[0], {"input_tokens": (9, 1)}, effective_from=NOW + HOUR, actor=None, reason="", now=NOW
    )
    keep_over_newer(draft, NOW + HOUR, NOW)
    published(draft, staff, effective_from=NOW + HOUR)
    wrong.refresh_from_db()
    assert wrong.superseded_at == NOW
    assert amount(models[0], NOW + HOUR) == 7


def test_prices_of_another_list_of_the_same_start_stay(draft: PriceDraft, models: list[Model], staff: User) -> None:
    own = PriceList.objects.create(name="Acme", created_at=NOW)
    version = publish_prices(
        models[0], {"input_tokens": (9, 1)}, effective_from=NOW + HOUR, actor=None, reason="", now=NOW, price_list=own
    )
    published(draft, staff, effective_from=NOW + HOUR)
    version.refresh_from_db()
    assert version.superseded_at is None


@pytest.mark.parametrize("ahead", [timedelta(minutes=-1), timedelta(minutes=30)])
def test_nobodys_change_is_lost(draft: PriceDraft, models: list[Model], staff: User, ahead: timedelta) -> None:
    """Neither one that came into force meanwhile, nor one that would before the draft does."""
    other = publish_prices(
        models[1], {"input_tokens": (9, 1)}, effective_from=NOW + ahead, actor=None, reason="", now=NOW - HOUR
    )
    before = PriceVersion.objects.count()
    with pytest.raises(StaleError, match="Other prices of b would be in force"):
        published(draft, staff, effective_from=NOW + HOUR)
    assert PriceVersion.objects.count() == before
    keep_over_newer(draft, NOW + HOUR, NOW)
    assert draft.lines.get(model=models[1]).based_on == other
    published(draft, staff, effective_from=NOW + HOUR)
    assert amount(models[1], NOW + HOUR) == 7


def test_a_change_that_comes_later_is_in_nobodys_way(draft: PriceDraft, models: list[Model], staff: User) -> None:
    publish_prices(models[1], {"input_tokens": (9, 1)}, effective_from=NOW + 2 * HOUR, actor=None, reason="", now=NOW)
    published(draft, staff, effective_from=NOW + HOUR)
    assert (amount(models[1], NOW + HOUR), amount(models[1], NOW + 2 * HOUR)) == (7, 9)


@pytest.mark.parametrize("ahead", [-HOUR, timedelta(0), timedelta(seconds=2)])
def test_a_start_that_gateways_would_learn_too_late_is_refused(
    draft: PriceDraft, staff: User, ahead: timedelta
) -> None:
    with pytest.raises(PriceError, match="past"):
        published(draft, staff, effective_from=NOW + ahead)


def test_where_publishing_takes_too_long_nothing_is_published(draft: PriceDraft, staff: User) -> None:
    times = chain([NOW], repeat(NOW + notice(3)))
    with pytest.raises(PriceError, match="too long"):
        published(draft, staff, clock=lambda: next(times))
    assert PriceVersion.objects.count() == 3
    draft.refresh_from_db()
    assert draft.is_open
    assert not AuditEntry.objects.filter(action="prices.publish").exists()


def test_it_is_published_once(draft: PriceDraft, staff: User) -> None:
    published(draft, staff)
    with pytest.raises(ClosedError, match="published"):
        published(draft, staff)
    with pytest.raises(ClosedError, match="published"):
        discard(draft, actor=staff, now=NOW)


def test_an_empty_one_is_refused(staff: User) -> None:
    with pytest.raises(PriceError, match="nothing"):
        published(open_draft(staff, NOW), staff)


def test_a_discarded_one_changes_nothing_and_is_audited(draft: PriceDraft, staff: User) -> None:
    discard(draft, actor=staff, now=NOW)
    assert PriceVersion.objects.count() == 3
    entry = AuditEntry.objects.get(action="prices.discard_draft")
    assert (entry.actor, entry.before) == (staff, {"lines": 3})
    assert draft.lines.count() == 3, "what it was stays to be read"
