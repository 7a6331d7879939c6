"""Spend by day and model, as the overview's chart and the table beneath it show it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

SHOWN_MODELS = 6
OTHERS = "other models"

Row = tuple[date, str, int, int]


@dataclass(frozen=True)
class Day:
    date: date
    by_model: list[int]
    requests: int

    @property
    def total(self) -> int:
        return sum(self.by_model)


@dataclass(frozen=True)
class SpendTable:
    """Nano-dollars by day (oldest first) and by model (most expensive first)."""

    models: list[str]
    days: list[Day]

    @property
    def total(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def totals(self) -> list[int]:
        return [sum(day.by_model[place] for day in self.days) for place in range(len(self.models))]

    @property
    def newest(self) -> Day:
        return self.days[-1]

    @property
    def newest_first(self) -> list[Day]:
        """Days that had any requests."""
        return [day for day in reversed(self.days) if day.total or day.requests]


def spend_table(rows: Iterable[Row], *, first: date, last: date) -> SpendTable:
    """Every day of the span has a row, spent or not; models beyond the six dearest are added up."""
    spent: dict[str, int] = defaultdict(int)
    cells: dict[tuple[date, str], int] = defaultdict(int)
    requests: dict[date, int] = defaultdict(int)
    for day, model, nanos, events in rows:
        spent[model] += nanos
        cells[day, model] += nanos
        requests[day] += events
    ranked = sorted(spent, key=lambda model: (-spent[model], model))
    shown, rest = ranked[:SHOWN_MODELS], ranked[SHOWN_MODELS:]
    days = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        amounts = [cells[day, model] for model in shown]
        if rest:
            amounts.append(sum(cells[day, model] for model in rest))
        days.append(Day(day, amounts, requests[day]))
    return SpendTable([*shown, OTHERS] if rest else shown, days)


def runway_days(balance_nanos: int, table: SpendTable) -> int | None:
    """Whole days that the balance lasts at the average since the first spend shown; None where nothing was spent."""
    spending = [place for place, day in enumerate(table.days) if day.total]
    if not spending or balance_nanos <= 0:
        return None
    return balance_nanos * (len(table.days) - spending[0]) // table.total
