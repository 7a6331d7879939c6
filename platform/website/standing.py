"""A key's limits and budgets as its page shows them: what is used now, and when it is back."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from msgspec.structs import asdict

from accounts.models import ApiKey, Organization
from billing.spending import spent
from hotstate.errors import Unreachable
from hotstate.records import Limits, Spent, ends_of_windows
from hotstate.standing import Rate, Spending, Standing, spending, standing

RATES = {
    "requests_per_minute": "Requests per minute",
    "tokens_per_minute": "Tokens per minute",
    "requests_per_day": "Requests per day",
    "concurrent_requests": "Requests at once",
}
BUDGETS = {
    "day": "Budget, today",
    "week": "Budget, this week",
    "month": "Budget, this month",
    "total": "Budget, in all",
}


@dataclass(frozen=True)
class Row:
    """`most` and `used` are nano-dollars where `is_money`; `used` is None where nobody can tell now."""

    label: str
    most: int
    used: int | None
    is_money: bool = False
    resets_at: datetime | None = None
    as_requests_end: bool = False

    @property
    def percent(self) -> int:
        """Of 100, and full where more was used than allowed."""
        return min(100, (self.used or 0) * 100 // self.most) if self.most else 100

    @property
    def short_label(self) -> str:
        """Of a budget: `today`, `this month`."""
        return self.label.removeprefix("Budget, ")

    @property
    def left(self) -> int | None:
        return None if self.used is None else max(0, self.most - self.used)


@dataclass(frozen=True)
class Shown:
    """`known` is False where Valkey can't be reached: budgets then leave out what runs just now."""

    rows: list[Row]
    everyones: list[Row]
    known: bool


def shown(key: ApiKey, now: datetime) -> Shown:
    """What is set, and how much of it is used. Never fails for want of Valkey."""
    try:
        found: Standing | None = standing(key.organization.public_id, key.public_id, now)
    except Unreachable:
        found = None
    mine = {rate.name: rate for rate in found.key_rates} if found else {}
    everyones = {rate.name: rate for rate in found.organization_rates} if found else {}
    known = found is not None
    return Shown(
        rows=[*_own_budgets(key, found, now), *_rates(key.limits, mine, now, known=known)],
        everyones=_rates(key.organization.limits_in_force, everyones, now, known=known),
        known=known,
    )


def tightest(organization: Organization, keys: Iterable[ApiKey], now: datetime) -> dict[int, Row]:
    """API key pk → the budget of which most is used, for keys that have budgets. Never fails for want of Valkey."""
    budgeted = [key for key in keys if _set(key)]
    if not budgeted:
        return {}
    told: dict[str, Spending] = {}
    with suppress(Unreachable):
        told = spending(organization.public_id, [key.public_id for key in budgeted], now)
    unknown = [key for key in budgeted if key.public_id not in told or told[key.public_id].spent is None]
    posted = {amounts.key: amounts for amounts in spent(unknown, now)}
    found = {}
    for key in budgeted:
        of_key = told.get(key.public_id)
        amounts = (of_key and of_key.spent) or _by_window(posted[key.public_id])
        rows = _budgets(key, amounts, of_key.held_nanos if of_key else 0, now)
        found[key.pk] = max(rows, key=lambda row: Fraction(row.used or 0, row.most or 1))
    return found


def _own_budgets(key: ApiKey, found: Standing | None, now: datetime) -> list[Row]:
    if not _set(key):
        return []
    amounts = found.spent if found else None
    return _budgets(key, amounts or _by_window(spent([key], now)[0]), found.held_nanos if found else 0, now)


def _budgets(key: ApiKey, amounts: dict[str, int], held: int, now: datetime) -> list[Row]:
    ends = ends_of_windows(now)
    return [
        Row(BUDGETS[window], most, amounts[window] + held, is_money=True, resets_at=ends.get(window))
        for window, most in _set(key).items()
    ]


def _set(key: ApiKey) -> dict[str, int]:
    return {window: most for window, most in asdict(key.budgets).items() if most is not None}


def _by_window(posted: Spent) -> dict[str, int]:
    return {window: getattr(posted, window) for window in BUDGETS}


def _rates(limits: Limits, used: dict[str, Rate], now: datetime, *, known: bool) -> list[Row]:
    rows = []
    for name, most in asdict(limits).items():
        if most is None:
            continue
        rate = used.get(name)
        taken = rate.used if rate else 0
        back = now + timedelta(milliseconds=rate.back_ms) if rate and rate.back_ms else None
        at_once = name == "concurrent_requests"
        rows.append(
            Row(RATES[name], most, taken if known else None, resets_at=back, as_requests_end=at_once and taken > 0)
        )
    return rows
