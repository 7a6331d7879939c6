"""Keys, organizations and balances as the inference path sees them: what is published to Valkey."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much at once or in a while; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    concurrent_requests: int | None = None


class Budgets(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may spend, nano-dollars, by UTC day, ISO week, month and in all; None is no limit."""

    day: int | None = None
    week: int | None = None
    month: int | None = None
    total: int | None = None


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key. Times are Unix milliseconds.

    `models` are ids or patterns with `*`, empty for every model; `networks` are CIDRs, empty for every address.
    `secrets` maps a hexadecimal digest to the secret's public id and when it lapses.
    """

    key: str
    org: str
    version: int
    revoked: bool
    expires_ms: int | None
    scopes: frozenset[str]
    models: frozenset[str]
    secrets: dict[str, tuple[str, int | None]]
    networks: frozenset[str] = frozenset()
    limits: Limits = Limits()
    budgets: Budgets = Budgets()


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an organization buys at from a moment (Unix milliseconds). Price lists are numbers; None is public.

    Discounts are basis points off the public list; its own, else the plan's. No models means every model.
    """

    effective_ms: int
    own_list: int | None = None
    own_discount_bp: int | None = None
    plan_list: int | None = None
    plan_discount_bp: int | None = None
    models: frozenset[str] = frozenset()


class OrganizationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An organization; amounts in nano-dollars. `terms` are in the order of their starts; `plan` is its plan's name.

    `previews` are the endpoints in preview that staff opened for it.
    """

    org: str
    version: int
    suspended: bool
    overdraft_nanos: int
    limits: Limits = Limits()
    terms: tuple[Terms, ...] = ()
    plan: str = ""
    previews: tuple[str, ...] = ()


class Windows(NamedTuple):
    """Which UTC day, ISO week and month it is: `2026-11-20`, `2026-W47`, `2026-11`."""

    day: str
    week: str
    month: str

    @classmethod
    def at(cls, now: datetime) -> "Windows":
        return _windows_of(now.astimezone(UTC).date())


def ends_of_windows(now: datetime) -> dict[str, datetime]:
    """When the current UTC day, ISO week and month end, by the names of `Windows`."""
    today = now.astimezone(UTC).date()
    days = {
        "day": today + timedelta(days=1),
        "week": today + timedelta(days=7 - today.weekday()),
        "month": (today.replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    return {window: datetime.combine(day, time(), tzinfo=UTC) for window, day in days.items()}


@lru_cache(8)
def _windows_of(today: date) -> Windows:
    year, week, _ = today.isocalendar()
    return Windows(f"{today:%Y-%m-%d}", f"{year}-W{week:02}", f"{today:%Y-%m}")


class Spent(msgspec.Struct, frozen=True):
    """What a key has spent as posted, nano-dollars, in the windows that it names."""

    key: str
    windows: Windows
    day: int
    week: int
    month: int
    total: int


class BalanceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A balance as posted, in nano-dollars; what keys with budgets have spent; the requests whose holds go now."""

    org: str
    version: int
    nanos: int
    posted: tuple[str, ...] = ()
    spent: tuple[Spent, ...] = ()
