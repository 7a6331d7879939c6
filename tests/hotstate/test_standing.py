"""What is shown as used is what the decision's script would say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hotstate import scripts
from hotstate.client import valkey
from hotstate.names import decision_keys
from hotstate.records import BalanceRecord, Budgets, KeyRecord, Limits, OrganizationRecord, Spent, Windows
from hotstate.standing import Rate, standing
from tests.cast import ERA, load_into_era

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORG, KEY = "org_a", "key_a"
LIMITS = Limits(requests_per_minute=7, tokens_per_minute=1000, requests_per_day=13, concurrent_requests=20)


@pytest.fixture(autouse=True)
def _published(empty_valkey: Any) -> None:
    record = KeyRecord(
        key=KEY,
        org=ORG,
        version=1,
        revoked=False,
        expires_ms=None,
        scopes=frozenset(),
        models=frozenset(),
        secrets={},
        limits=LIMITS,
        budgets=Budgets(day=100, total=100),
    )
    load_into_era(OrganizationRecord(org=ORG, version=1, suspended=False, overdraft_nanos=0, limits=LIMITS))
    load_into_era(record)
    spent = Spent(key=KEY, windows=Windows.at(NOW), day=3, week=4, month=5, total=6)
    load_into_era(BalanceRecord(org=ORG, version=1, nanos=1000, spent=(spent,)))


def ask(request_id: str, at: datetime, *, hold: int | None = None, tokens: int = 0, version: int = 1) -> list[Any]:
    asked = [int(at.timestamp() * 1000), request_id, 1, "", hold or 0, 60_000, KEY, tokens]
    arguments = [*asked, *Windows.at(at), "free" if hold is None else "take", "", ERA, version]
    answer: list[Any] = valkey().eval(scripts.DECIDE, 5, *decision_keys(ORG, KEY), *arguments)
    return answer


@pytest.mark.parametrize("seconds", [0, 1, 3.3, 59, 61])
def test_rates_are_as_the_script_counts_them(seconds: float) -> None:
    for place in range(5):
        assert ask(f"r{place}", NOW, hold=2, tokens=77)[0] == b"allowed"
    at = NOW + timedelta(seconds=seconds)
    told = ask("question", at)[3]
    left = {told[n].decode(): (int(told[n + 2]), int(told[n + 3])) for n in range(0, len(told), 4)}
    found = standing(ORG, KEY, at)
    for who, rates in (("key", found.key_rates), ("organization", found.organization_rates)):
        for rate in rates[:3]:
            assert (rate.most - rate.used, rate.back_ms) == left[f"{who}.{rate.name}"]
        assert rates[3] == Rate("concurrent_requests", 20, 5, None)


def test_of_a_limit_however_large_nothing_is_used_before_the_first_request(empty_valkey: Any) -> None:
    limits = Limits(requests_per_minute=10**12, tokens_per_minute=10**12)
    load_into_era(OrganizationRecord(org=ORG, version=2, suspended=False, overdraft_nanos=0, limits=limits))
    found = standing(ORG, KEY, NOW).organization_rates
    assert found == (Rate("requests_per_minute", 10**12, 0, 0), Rate("tokens_per_minute", 10**12, 0, 0))
    states = ask("question", NOW, version=2)[3]
    assert [int(left) for left in states[-6::4]] == [10**12, 10**12]


def test_what_is_spent_counts_in_its_own_window() -> None:
    ask("a", NOW, hold=2)
    found = standing(ORG, KEY, NOW)
    assert (found.spent, found.held_nanos) == ({"day": 3, "week": 4, "month": 5, "total": 6}, 2)
    assert standing(ORG, KEY, NOW + timedelta(days=60)).spent == {"day": 0, "week": 0, "month": 0, "total": 6}
    # Who posted has a clock that is ahead of ours.
    assert standing(ORG, KEY, NOW - timedelta(days=60)).spent == {"day": 3, "week": 4, "month": 5, "total": 6}


def test_what_was_never_published_is_nothing_known() -> None:
    found = standing("org_b", "key_b", NOW)
    assert (found.key_rates, found.organization_rates, found.spent, found.held_nanos) == ((), (), None, 0)
