"""A key's limits and budgets as its page shows them: what is used now, and when it is back."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from msgspec.structs import asdict

from accounts.models import ApiKey
from billing.spending import spent
from hotstate.errors import Unreachable
from hotstate.records import Limits
from hotstate.standing import Rate, Standing, standing

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
        rows=[*_budgets(key, found, now), *_rates(key.limits, mine, now, known=known)],
        everyones=_rates(key.organization.limits, everyones, now, known=known),
        known=known,
    )


def _budgets(key: ApiKey, found: Standing | None, now: datetime) -> list[Row]:
    budgets = {window: most for window, most in asdict(key.budgets).items() if most is not None}
    if not budgets:
        return []
    amounts = found.spent if found else None
    if amounts is None:
        (posted,) = spent([key], now)
        amounts = {window: getattr(posted, window) for window in BUDGETS}
    held = found.held_nanos if found else 0
    ends = _ends(now)
    return [
        Row(BUDGETS[window], most, amounts[window] + held, is_money=True, resets_at=ends.get(window))
        for window, most in budgets.items()
    ]


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


def _ends(now: datetime) -> dict[str, datetime]:
    """When the UTC day, ISO week and month end."""
    today = now.astimezone(UTC).date()
    days = {
        "day": today + timedelta(days=1),
        "week": today + timedelta(days=7 - today.weekday()),
        "month": (today.replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    return {window: datetime.combine(day, time(), tzinfo=UTC) for window, day in days.items()}
