"""Spend by day and model, how long a balance lasts, and times as people say them."""

from datetime import UTC, date, datetime, timedelta

import pytest

from website.spending import OTHERS, runway_days, spend_table
from website.templatetags.keymeter import moment, relative

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_every_day_has_a_place_and_the_dearest_model_comes_first() -> None:
    rows = [(date(2026, 11, 2), "cheap", 1, 5), (date(2026, 11, 2), "dear", 10, 1), (LAST, "cheap", 2, 1)]
    table = spend_table(rows, first=FIRST, last=LAST)
    assert table.models == ["dear", "cheap"]
    assert len(table.days) == 30
    assert table.days[1].by_model == [10, 1]
    assert table.totals == [10, 3]
    assert table.total == 13
    assert [day.date for day in table.newest_first] == [LAST, date(2026, 11, 2)]


def test_many_models_are_added_up_and_nothing_is_lost() -> None:
    rows = [(LAST, f"m{place}", place, 1) for place in range(1, 11)]
    table = spend_table(rows, first=FIRST, last=LAST)
    assert table.models == ["m10", "m9", "m8", "m7", "m6", "m5", OTHERS]
    assert table.total == sum(range(1, 11))


@pytest.mark.parametrize(
    ("balance", "spent", "days"),
    [(100, 10, 10), (99, 10, 9), (0, 10, None), (-5, 10, None), (100, 0, None)],
)
def test_a_balance_lasts_as_long_as_at_the_rate_since_the_first_spend(
    balance: int, spent: int, days: int | None
) -> None:
    rows = [(LAST, "m", spent, 1)]
    assert runway_days(balance, spend_table(rows, first=FIRST, last=LAST)) == days


def test_a_quiet_week_makes_it_last_longer() -> None:
    rows = [(LAST - timedelta(days=6), "m", 70, 1)]
    assert runway_days(100, spend_table(rows, first=FIRST, last=LAST)) == 10


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (timedelta(seconds=1), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=90), "1 h ago"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=31), "30 Oct 2026"),
        (timedelta(days=-3), "in 3 d"),
    ],
)
def test_times_are_relative_up_to_thirty_days(past: timedelta, said: str) -> None:
    assert relative(NOW - past, NOW) == said


def test_the_exact_time_and_its_zone_are_on_hover() -> None:
    assert 'title="2026-11-30 12:00:00 UTC"' in moment(NOW)
    assert 'datetime="2026-11-30T12:00:00+00:00"' in moment(NOW)
