"""How much of a key's limits and budgets is used, as the inference path counts it. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from hotstate import names
from hotstate.client import reaching_valkey
from hotstate.records import Windows

MINUTE_MS, DAY_MS = 60_000, 86_400_000
WINDOW_MS = {"requests_per_minute": MINUTE_MS, "tokens_per_minute": MINUTE_MS, "requests_per_day": DAY_MS}
AT_ONCE = "concurrent_requests"
RATES = (*WINDOW_MS, AT_ONCE)
SPENT = ("day", "week", "month", "total")
SPENDING = ["spent_version", *Windows._fields, *(f"spent_{window}" for window in SPENT)]


@dataclass(frozen=True)
class Rate:
    """A limit, how much of it is used, and in how many milliseconds all of it is back (None: as requests end)."""

    name: str
    most: int
    used: int
    back_ms: int | None


@dataclass(frozen=True)
class Standing:
    """`spent` is what was posted, nano-dollars by budget, None where nothing was published yet; `held` runs now."""

    key_rates: tuple[Rate, ...]
    organization_rates: tuple[Rate, ...]
    spent: dict[str, int] | None
    held_nanos: int


@dataclass(frozen=True)
class Spending:
    """As in `Standing`, of one key."""

    spent: dict[str, int] | None
    held_nanos: int


def spending(org: str, keys: Sequence[str], now: datetime) -> dict[str, Spending]:
    """What these keys of an organization have spent and hold, by their ids. Raises Unreachable."""
    counters = names.counters_of(org)
    with reaching_valkey() as valkey:
        pipeline = valkey.pipeline(transaction=False)
        for key in keys:
            pipeline.hmget(names.key_hash(org, key), SPENDING)
            pipeline.hget(counters, f"{key}:held")
        told = pipeline.execute()
    return {
        key: Spending(_spent(dict(zip(SPENDING, spent, strict=True)), now), int(held or 0))
        for key, spent, held in zip(keys, told[::2], told[1::2], strict=True)
    }


def standing(org: str, key: str, now: datetime) -> Standing:
    """Raises Unreachable."""
    with reaching_valkey() as valkey:
        pipeline = valkey.pipeline(transaction=False)
        for name, fields in asked(org, key):
            pipeline.hmget(name, fields)
        answers = pipeline.execute()
    return told_by(answers, now)


def asked(org: str, key: str) -> list[tuple[str, Sequence[str]]]:
    """The hashes and fields that tell a key's standing."""
    organization_hash, key_hash, _, _, counters = names.decision_keys(org, key)
    own, everyones = [[prefix + name for name in (*WINDOW_MS, "open")] for prefix in (f"{key}:", "")]
    return [
        (key_hash, RATES),
        (organization_hash, RATES),
        (counters, own),
        (counters, everyones),
        (key_hash, SPENDING),
        (counters, [f"{key}:held"]),
    ]


def told_by(answers: Sequence[list[bytes | None]], now: datetime) -> Standing:
    """The standing, by the values of what was `asked`."""
    key_rates, organization_rates, counted, counted_all, told, held = answers
    return Standing(
        key_rates=_rates(key_rates, counted, now),
        organization_rates=_rates(organization_rates, counted_all, now),
        spent=_spent(dict(zip(SPENDING, told, strict=True)), now),
        held_nanos=int(held[0] or 0),
    )


def _rates(limits: list[bytes | None], counted: list[bytes | None], now: datetime) -> tuple[Rate, ...]:
    now_ms = now.timestamp() * 1000
    rates = []
    for name, limit, count in zip(RATES, limits, counted, strict=True):
        if not (most := int(limit or 0)):
            continue
        if name not in WINDOW_MS:
            rates.append(Rate(name, most, int(count or 0), None))
            continue
        # As in decide.lua: the counter is the moment at which all that was taken will have been paid back.
        back_ms = max(0.0, float(count or 0) - now_ms)
        # Of a large limit, the script's grace is many: nothing used is never less than nothing.
        used = max(0, ceil((back_ms - 0.01) * most / WINDOW_MS[name]))
        rates.append(Rate(name, most, used, ceil(back_ms)))
    return tuple(rates)


def _spent(told: dict[str, bytes | None], now: datetime) -> dict[str, int] | None:
    if told["spent_version"] is None:
        return None
    windows = Windows.at(now)._asdict()
    # A newer window than ours: the clock that posted is ahead.
    current = {name: (told[name] or b"").decode() >= window for name, window in windows.items()} | {"total": True}
    return {name: int(told[f"spent_{name}"] or 0) if current[name] else 0 for name in SPENT}
