"""Money stays exact up to $9M and is clamped beyond, where Lua's doubles end; clocks may go back and forth."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from hotstate import names, publish, scripts
from hotstate.client import valkey
from hotstate.records import BalanceRecord, Budgets, KeyRecord, Limits, OrganizationRecord, Spent, Windows
from tests.cast import ERA, load_into_era

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORG, KEY = "org_b", "key_b"
KEYS = names.decision_keys(ORG, KEY)
MOST = publish.LARGEST_NANOS
# The first integer that a double can't tell from its neighbour.
EDGE = 2**53
ORGANIZATION = OrganizationRecord(org=ORG, version=1, suspended=False, overdraft_nanos=0)
RECORD = KeyRecord(
    key=KEY,
    org=ORG,
    version=1,
    revoked=False,
    expires_ms=None,
    scopes=frozenset(),
    models=frozenset(),
    secrets={},
)


@pytest.fixture(autouse=True)
def _published(empty_valkey: Any) -> None:
    have(0, version=1)
    load_into_era(RECORD)


def have(nanos: int, *, overdraft: int = 0, version: int = 2) -> None:
    load_into_era(BalanceRecord(org=ORG, version=version, nanos=nanos))
    load_into_era(replace(ORGANIZATION, version=version, overdraft_nanos=overdraft))


def decide(request_id: str, nanos: int, *, at: datetime = NOW, version: int = 1, tokens: int = 0) -> str:
    hold = publish.clamp_hold(nanos)
    arguments = [
        int(at.timestamp() * 1000),
        request_id,
        version,
        "",
        hold,
        60_000,
        KEY,
        tokens,
        *Windows.at(at),
        "take",
        "",
        ERA,
        valkey().hget(KEYS[0], "version"),
    ]
    verdict: str = valkey().eval(scripts.DECIDE, 5, *KEYS, *arguments)[0].decode()
    return verdict


def held() -> int:
    return int(valkey().hget(KEYS[0], "held") or 0)


@pytest.mark.parametrize("nanos", [1, 10**15, MOST - 1, MOST])
def test_a_balance_is_exact_to_the_nano_dollar(nanos: int) -> None:
    have(nanos)
    assert decide("more", nanos + 1) == "insufficient_balance"
    assert decide("all", nanos) == "allowed"
    assert held() == nanos
    assert decide("one", 1) == "insufficient_balance"


@pytest.mark.parametrize("nanos", [MOST + 1, EDGE, EDGE + 1, 2**62])
def test_beyond_nine_million_dollars_a_balance_counts_as_nine(nanos: int) -> None:
    have(nanos)
    assert decide("all", MOST) == "allowed"
    assert decide("one", 1) == "insufficient_balance"


@pytest.mark.parametrize(
    ("balance", "overdraft", "spendable"),
    [
        (MOST - 1, MOST, MOST),
        (MOST, MOST, MOST),
        (-MOST + 1, MOST, 1),
        (-MOST, MOST, 0),
        (-5, MOST, MOST - 5),
        (-(2**62), 10, -MOST + 10),
        (1, EDGE - 1, MOST),
    ],
)
def test_a_balance_and_its_overdraft_are_clamped_together(balance: int, overdraft: int, spendable: int) -> None:
    have(balance, overdraft=overdraft)
    if spendable > 0:
        assert decide("more", spendable + 1) == "insufficient_balance"
        assert decide("all", spendable) == "allowed"
    assert decide("one", 1) == "insufficient_balance"


@pytest.mark.parametrize("nanos", [MOST + 1, EDGE, 2**62, 10**30])
def test_a_hold_of_more_than_can_be_counted_is_never_covered(nanos: int) -> None:
    have(2**62, overdraft=2**62)
    assert decide("huge", nanos) == "insufficient_balance"
    assert held() == 0


def test_growth_is_exact_too() -> None:
    have(MOST)
    assert decide("a", MOST - 3) == "allowed"
    windows = Windows.at(NOW)
    grown = [
        valkey().eval(scripts.GROW, 5, *KEYS, "a", nanos, *windows, ERA)
        for nanos in (MOST + 1, MOST - 1, MOST + 1, MOST, MOST + 1)
    ]
    assert grown == [0, 1, 0, 1, 0]
    # Told again, as where the answer got lost, and told less.
    assert [valkey().eval(scripts.GROW, 5, *KEYS, "a", nanos, *windows, ERA) for nanos in (MOST, 1)] == [1, 1]
    assert valkey().hget(KEYS[2], "a") == f"open:{MOST}:{KEY}::0".encode()
    assert held() == MOST
    valkey().eval(scripts.RELEASE, 5, *KEYS, "a", 0)
    assert held() == 0


@pytest.mark.parametrize("spent", [0, MOST - 1, EDGE])
def test_a_budget_is_exact_to_the_nano_dollar(spent: int) -> None:
    have(2**62)
    load_into_era(replace(RECORD, version=2, budgets=Budgets(total=MOST)))
    known = Spent(key=KEY, windows=Windows.at(NOW), day=spent, week=spent, month=spent, total=spent)
    load_into_era(BalanceRecord(org=ORG, version=3, nanos=2**62, spent=(known,)))
    left = max(0, MOST - spent)
    assert decide("more", left + 1, version=2) == "budget_exhausted"
    if left:
        assert decide("all", left, version=2) == "allowed"
    assert decide("one", 1, version=2) == "budget_exhausted"


def test_a_settled_charge_beyond_what_can_be_counted_is_clamped_and_goes() -> None:
    have(10)
    assert decide("a", 10) == "allowed"
    valkey().eval(scripts.SETTLE, 5, *KEYS, "a", publish.clamp(2**62), 0, 0)
    assert held() == MOST
    publish.put(valkey(), BalanceRecord(org=ORG, version=3, nanos=10 - 2**62, posted=("a",)))
    assert held() == 0
    assert decide("b", 1) == "insufficient_balance"


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def limited(**limits: int) -> None:
    have(10**9)
    load_into_era(replace(RECORD, version=2, limits=Limits(**limits)))


@pytest.mark.parametrize("jump", [-DAY, -HOUR, HOUR, DAY])
def test_a_clock_that_jumps_lets_no_more_money_through(jump: timedelta) -> None:
    have(100)
    moments = [NOW, NOW + jump, NOW, NOW + jump]
    verdicts = [decide(f"r{number}", 40, at=at) for number, at in enumerate(moments)]
    assert verdicts == ["allowed", "allowed", "insufficient_balance", "insufficient_balance"]
    assert held() == 80


@pytest.mark.parametrize("window", ["requests_per_minute", "requests_per_day"])
def test_a_clock_that_was_ahead_locks_nobody_out_for_long(window: str) -> None:
    limited(**{window: 2})
    assert decide("far ahead", 1, at=NOW + 30 * DAY, version=2) == "allowed"
    assert decide("a", 1, at=NOW, version=2) == "allowed"


@pytest.mark.parametrize("behind", [timedelta(seconds=61), timedelta(minutes=4)])
def test_a_clock_that_is_minutes_behind_empties_no_counter(behind: timedelta) -> None:
    limited(requests_per_minute=2)
    assert [decide(f"r{number}", 1, at=NOW, version=2) for number in range(3)] == ["allowed", "allowed", "rate_limited"]
    assert decide("behind", 1, at=NOW - behind, version=2) == "rate_limited"
    assert decide("again", 1, at=NOW, version=2) == "rate_limited"


def test_a_clock_that_goes_back_gives_no_second_helping() -> None:
    limited(requests_per_minute=2)
    verdicts = [decide(f"r{number}", 1, at=NOW - number * timedelta(seconds=10), version=2) for number in range(4)]
    assert verdicts == ["allowed", "rate_limited", "rate_limited", "rate_limited"]


def test_the_tokens_of_a_lapsed_hold_are_back_by_its_leases_end() -> None:
    """Time gives them back, so that nothing else has to."""
    limited(tokens_per_minute=1000)
    assert decide("lapses", 1, at=NOW, version=2, tokens=1000) == "allowed"
    end = NOW + timedelta(minutes=1)
    assert decide("early", 1, at=end - timedelta(milliseconds=1), version=2, tokens=1000) == "rate_limited"
    assert valkey().eval(scripts.LAPSE, 5, *KEYS, int(end.timestamp() * 1000)) == [b"lapses", b"1"]
    assert decide("late", 1, at=end, version=2, tokens=1000) == "allowed"


def test_a_key_that_expires_is_judged_by_the_moment_that_is_given() -> None:
    have(100)
    load_into_era(replace(RECORD, version=2, expires_ms=int(NOW.timestamp() * 1000)))
    before = NOW - timedelta(milliseconds=1)
    verdicts = [decide(f"r{number}", 1, at=at, version=2) for number, at in enumerate([before, NOW, before])]
    assert verdicts == ["allowed", "expired", "allowed"]
