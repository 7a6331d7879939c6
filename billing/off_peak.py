"""Times of the week at which a price version's prices are multiplied. Pure; all times are UTC."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

DAY = 24 * 60
WEEK = 7 * DAY
# Ten times the price; 10,000 is the price itself.
LARGEST_BASIS_POINTS = 100_000
MOST_WINDOWS = 50
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIELDS = {"days", "from", "to", "basis_points"}


class OffPeakError(ValueError):
    """Windows that mean nothing, or two things; the message says which."""


@dataclass(frozen=True, slots=True)
class OffPeak:
    """Minutes of the week, in order: where each window begins, where it ends, and its multiplier in basis points."""

    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    basis_points: tuple[int, ...] = ()
    # What it was read from.
    windows: tuple[Mapping[str, Any], ...] = ()

    def at(self, moment: datetime) -> int | None:
        """The multiplier of a moment (UTC), or None."""
        minute = moment.weekday() * DAY + moment.hour * 60 + moment.minute
        place = bisect_right(self.begins, minute) - 1
        return self.basis_points[place] if place >= 0 and minute < self.ends[place] else None


NO_OFF_PEAK = OffPeak()


def off_peak(windows: Iterable[Mapping[str, Any]]) -> OffPeak:
    """Read windows {"days": [0, …, 6], Monday first, "from": "16:30", "to": "00:30", "basis_points": 5000}.

    A window that ends before it begins goes on into the next day. Raises OffPeakError.
    """
    checked = _checked(windows)
    spans = sorted(span for window in checked for span in _spans(window))
    for (_, end, _), (begin, _, _) in pairwise(spans):
        if begin < end:
            raise OffPeakError(f"Two off-peak times overlap on {_named(begin)}.")
    if not spans:
        return NO_OFF_PEAK
    begins, ends, points = zip(*spans, strict=True)
    return OffPeak(begins, ends, points, tuple(checked))


def _checked(windows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if isinstance(windows, str | Mapping):
        raise OffPeakError("Off-peak times are a list.")
    found = list(windows)
    if len(found) > MOST_WINDOWS:
        raise OffPeakError(f"There are {len(found)} off-peak times; at most {MOST_WINDOWS} are allowed.")
    for window in found:
        if not isinstance(window, Mapping) or window.keys() != FIELDS:
            raise OffPeakError("An off-peak time has days, from, to and basis_points, and nothing else.")
    return found


def _spans(window: Mapping[str, Any]) -> Iterable[tuple[int, int, int]]:
    """(begin, end, basis points) in minutes of the week, split where the week ends."""
    days, points = window["days"], window["basis_points"]
    if not isinstance(days, list) or not days or any(type(day) is not int or not 0 <= day < 7 for day in days):
        raise OffPeakError("The days of an off-peak time are a list of 0 (Monday) to 6 (Sunday).")
    if len(set(days)) < len(days):
        raise OffPeakError("An off-peak time names a day twice.")
    if type(points) is not int or not 0 <= points <= LARGEST_BASIS_POINTS:
        raise OffPeakError(f"An off-peak multiplier is 0 to {LARGEST_BASIS_POINTS} basis points, and not {points}.")
    begin, end = _minute(window["from"]), _minute(window["to"])
    if begin in (end, DAY):
        raise OffPeakError(f"An off-peak time from {window['from']} to {window['to']} has no length.")
    length = (end - begin) % DAY or DAY
    for day in days:
        first = day * DAY + begin
        if first + length <= WEEK:
            yield first, first + length, points
        else:
            yield first, WEEK, points
            yield 0, first + length - WEEK, points


def _minute(text: object) -> int:
    """Minutes since midnight of `HH:MM`; 24:00 is the day's end."""
    if isinstance(text, str) and len(text) == 5 and text[2] == ":" and (text[:2] + text[3:]).isdecimal():
        hours, minutes = int(text[:2]), int(text[3:])
        if minutes < 60 and hours * 60 + minutes <= DAY:
            return hours * 60 + minutes
    raise OffPeakError(f"Write the times of an off-peak time as 16:30, and not {text}.")


def _named(minute: int) -> str:
    day, rest = divmod(minute, DAY)
    return f"{DAYS[day]} at {rest // 60:02}:{rest % 60:02} UTC"
