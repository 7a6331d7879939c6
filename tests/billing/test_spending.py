"""What a key with a budget has spent, by day, ISO week and month in UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey
from billing.models import DailyUsage, RollupKind
from billing.spending import spent, spent_by_organization
from catalog.models import Model
from hotstate.records import Windows
from tests.cast import make_key, make_model, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> ApiKey:
    make_model()
    return make_key(make_organization())[0]


def spend(key: ApiKey, day: date, nanos: int, kind: RollupKind = RollupKind.USAGE) -> None:
    DailyUsage.objects.create(
        organization_id=key.organization_id,
        api_key=key,
        model=Model.objects.get(),
        kind=kind,
        day=day,
        charge_nanos=nanos,
    )


@pytest.mark.parametrize(
    ("now", "day", "week", "month"),
    [
        # Monday 1 June 2026: day, week and month begin together.
        (datetime(2026, 5, 31, 23, 59, 59, 999999, UTC), 2, 2 + 4, 2 + 4 + 8),
        (datetime(2026, 6, 1, tzinfo=UTC), 1, 1, 1),
        (datetime(2026, 6, 1, 23, 59, 59, 999999, UTC), 1, 1, 1),
        (datetime(2026, 6, 2, tzinfo=UTC), 0, 1, 1),
        (datetime(2026, 6, 7, 23, 59, 59, 999999, UTC), 0, 1, 1),
        (datetime(2026, 6, 8, tzinfo=UTC), 0, 0, 1),
        (datetime(2026, 6, 30, 23, 59, 59, 999999, UTC), 0, 0, 1),
        (datetime(2026, 7, 1, tzinfo=UTC), 0, 0, 0),
        # The clock of another zone makes no other day.
        (datetime(2026, 6, 1, 1, tzinfo=timezone(timedelta(hours=2))), 2, 6, 14),
        (datetime(2026, 5, 31, 23, tzinfo=timezone(-timedelta(hours=2))), 1, 1, 1),
    ],
)
def test_windows_begin_and_end_at_utc_midnight(key: ApiKey, now: datetime, day: int, week: int, month: int) -> None:
    spend(key, date(2026, 6, 1), 1)
    spend(key, date(2026, 5, 31), 2)
    spend(key, date(2026, 5, 25), 4)
    spend(key, date(2026, 5, 24), 8)
    spend(key, date(2026, 4, 30), 16)
    (found,) = spent([key], now)
    assert (found.day, found.week, found.month, found.total) == (day, week, month, 31)
    assert (found.key, found.windows) == (key.public_id, Windows.at(now))


def test_a_week_goes_on_over_new_year_while_the_month_begins(key: ApiKey) -> None:
    spend(key, date(2026, 12, 31), 1)
    spend(key, date(2027, 1, 1), 2)
    (found,) = spent([key], datetime(2027, 1, 1, tzinfo=UTC))
    assert (found.day, found.week, found.month, found.total) == (2, 3, 2, 3)
    assert found.windows == ("2027-01-01", "2026-W53", "2027-01")


def test_what_is_ahead_counts_in_all_only(key: ApiKey) -> None:
    """A line may be minutes ahead of our clock, over midnight."""
    spend(key, date(2026, 6, 2), 5)
    (found,) = spent([key], datetime(2026, 6, 1, 23, 59, tzinfo=UTC))
    assert (found.day, found.week, found.month, found.total) == (0, 0, 0, 5)


def test_a_correction_takes_back_what_it_corrects(key: ApiKey) -> None:
    spend(key, date(2026, 6, 1), 10)
    spend(key, date(2026, 6, 1), -4, RollupKind.CORRECTION)
    (found,) = spent([key], datetime(2026, 6, 1, tzinfo=UTC))
    assert found.day == 6


def test_a_key_that_spent_nothing_has_zeros(key: ApiKey) -> None:
    (found,) = spent([key], datetime(2026, 6, 1, tzinfo=UTC))
    assert (found.day, found.week, found.month, found.total) == (0, 0, 0, 0)


@pytest.mark.parametrize("budget", ["day", "week", "month", "total"])
def test_only_keys_with_a_budget_are_told_of(key: ApiKey, budget: str) -> None:
    limited = make_key(key.organization)[0]
    unasked = make_key(key.organization)[0]
    ApiKey.objects.filter(pk__in=[limited.pk, unasked.pk]).update(**{f"budget_{budget}_nanos": 1})
    spend(limited, date(2026, 6, 1), 7)
    spend(key, date(2026, 6, 1), 100)
    found = spent_by_organization([key.pk, limited.pk, limited.pk], datetime(2026, 6, 1, tzinfo=UTC))
    assert {pk: [(one.key, one.day) for one in spents] for pk, spents in found.items()} == {
        key.organization_id: [(limited.public_id, 7)]
    }


def test_many_keys_are_one_question(key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    keys = [key, *(make_key(key.organization)[0] for _ in range(5))]
    for place, one in enumerate(keys):
        spend(one, date(2026, 6, 1), place)
    with django_assert_num_queries(1):
        found = spent(keys, datetime(2026, 6, 1, tzinfo=UTC))
    assert [(one.key, one.total) for one in found] == [(one.public_id, place) for place, one in enumerate(keys)]
