"""Off-peak times: by the minute of the week in UTC, across midnight and the week's end, never two at once."""

from datetime import timedelta
from typing import Any

import pytest

from billing.off_peak import DAY, NO_OFF_PEAK, WEEK, OffPeakError, off_peak
from tests.billing.off_peak_times import MONDAY, NIGHTS


def window(**fields: Any) -> dict[str, Any]:
    return {**NIGHTS, **fields}


@pytest.mark.parametrize(
    ("hours", "minutes", "multiplier"),
    [(16, 29, None), (16, 30, 5000), (23, 59, 5000), (24, 0, 5000), (24, 29, 5000), (24, 30, None), (0, 29, 5000)],
)
def test_it_holds_from_its_first_minute_to_before_its_last(hours: int, minutes: int, multiplier: int | None) -> None:
    found = off_peak([NIGHTS])
    assert found.at(MONDAY + timedelta(hours=hours, minutes=minutes)) == multiplier
    assert found.at(MONDAY + timedelta(days=7, hours=hours, minutes=minutes, seconds=59)) == multiplier


def test_it_begins_on_its_days_only() -> None:
    friday = off_peak([window(days=[4])])
    assert friday.at(MONDAY + timedelta(days=4, hours=17)) == 5000
    assert friday.at(MONDAY + timedelta(days=5, minutes=29)) == 5000
    assert friday.at(MONDAY + timedelta(days=5, hours=17)) is None
    assert friday.at(MONDAY + timedelta(days=4, minutes=1)) is None


def test_a_sunday_night_ends_on_monday() -> None:
    sunday = off_peak([window(days=[6], to="03:00")])
    assert [sunday.at(MONDAY + timedelta(hours=hours)) for hours in (2, 3)] == [5000, None]
    assert sunday.at(MONDAY + timedelta(days=6, hours=23)) == 5000


def test_whole_days_and_neighbours() -> None:
    weekend = window(days=[5, 6], **{"from": "00:00", "to": "24:00"}, basis_points=8000)
    found = off_peak([weekend, window(days=[0], **{"from": "00:00", "to": "06:00"}, basis_points=0)])
    per_minute = [found.at(MONDAY + timedelta(minutes=minute)) for minute in range(WEEK)]
    assert (per_minute.count(8000), per_minute.count(0)) == (2 * DAY, 6 * 60)


def test_without_windows_there_is_no_multiplier() -> None:
    assert off_peak([]) is NO_OFF_PEAK
    assert NO_OFF_PEAK.at(MONDAY) is None


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([NIGHTS, window(days=[1], **{"from": "00:29", "to": "02:00"})], "overlap on Tuesday at 00:29"),
        ([NIGHTS, NIGHTS], "overlap"),
        ([window(days=[6], **{"from": "20:00", "to": "10:00"}), window(days=[0], to="17:00")][:1] * 2, "overlap"),
        ([window(days=[])], "days"),
        ([window(days=[7])], "days"),
        ([window(days=[True])], "days"),
        ([window(days="01")], "days"),
        ([window(days=[1, 1])], "twice"),
        ([window(to="16:30")], "no length"),
        ([window(**{"from": "24:00"})], "no length"),
        ([window(to="24:01")], "16:30"),
        ([window(to="7:00")], "16:30"),
        ([window(to=700)], "16:30"),
        ([window(basis_points=-1)], "basis points"),
        ([window(basis_points=100_001)], "basis points"),
        ([window(basis_points=0.5)], "basis points"),
        ([window(zone="CET")], "nothing else"),
        ([{"days": [1]}], "nothing else"),
        (["monday"], "nothing else"),
        (NIGHTS, "list"),
        ([window(days=[day % 7]) for day in range(51)], "at most 50"),
    ],
)
def test_what_means_nothing_or_two_things_is_refused(windows: Any, words: str) -> None:
    with pytest.raises(OffPeakError, match=words):
        off_peak(windows)
