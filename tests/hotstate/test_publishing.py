"""What Valkey is told only ever gets newer, and holds go exactly once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from hotstate import holds, names, publish, scripts
from hotstate.client import valkey
from hotstate.fast import HotState
from hotstate.records import BalanceRecord, Budgets, KeyRecord, OrganizationRecord, Spent, Windows
from tests.cast import (
    ERA,
    load_into_era,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
ORG, KEY = "org_a", "key_a"
KEYS = names.decision_keys(ORG, KEY)


def key_record(version: int = 1, *, revoked: bool = False) -> KeyRecord:
    return KeyRecord(
        key=KEY,
        org=ORG,
        version=version,
        revoked=revoked,
        expires_ms=None,
        scopes=frozenset({"chat"}),
        models=frozenset(),
        secrets={"ab": ("sec_a", None)},
    )


def balance(version: int, nanos: int, *posted: str) -> BalanceRecord:
    return BalanceRecord(org=ORG, version=version, nanos=nanos, posted=posted)


WRITES = {"cmdstat_hset", "cmdstat_hincrby", "cmdstat_zadd", "cmdstat_hdel", "cmdstat_set"}


def decide(request_id: str, nanos: int, *, version: int = 1, at: int = NOW_MS, organization_version: int = 1) -> str:
    arguments = [
        at,
        request_id,
        version,
        "",
        nanos,
        60_000,
        KEY,
        0,
        *Windows.at(NOW),
        "take",
        "",
        ERA,
        organization_version,
    ]
    verdict: str = valkey().eval(scripts.DECIDE, 5, *KEYS, *arguments)[0].decode()
    return verdict


def held() -> int:
    return int(valkey().hget(KEYS[0], "held") or 0)


@pytest.fixture
def published(empty_valkey: Any) -> None:
    load_into_era(OrganizationRecord(org=ORG, version=1, suspended=False, overdraft_nanos=0))
    load_into_era(key_record())
    load_into_era(balance(1, 100))


@pytest.mark.usefixtures("published")
def test_what_an_older_program_published_without_its_record_is_completed() -> None:
    valkey().hdel(KEYS[0], "record")
    publish.put(valkey(), OrganizationRecord(org=ORG, version=1, suspended=False, overdraft_nanos=0))
    assert HotState.parse_organization(valkey().hget(KEYS[0], "record")).version == 1
    assert valkey().hget(KEYS[0], "era").decode() == ERA


@pytest.mark.usefixtures("published")
class TestHolds:
    def test_a_decision_reads_three_times(self) -> None:
        """Organization and key, whatever is asked of them, and whether the request was decided before."""
        assert decide("first", 1) == "allowed"
        valkey().config_resetstat()
        assert decide("second", 1) == "allowed"
        found = {name: stats["calls"] for name, stats in valkey().info("commandstats").items()}
        reads = {name: calls for name, calls in found.items() if name.startswith(("cmdstat_hmget", "cmdstat_hget"))}
        assert reads == {"cmdstat_hmget": 2, "cmdstat_hget": 1}
        writes = {name: calls for name, calls in found.items() if name in WRITES}
        assert writes == {"cmdstat_hset": 1, "cmdstat_hincrby": 4, "cmdstat_zadd": 1}

    def test_a_hold_is_taken_from_what_can_be_spent(self) -> None:
        assert [decide("a", 60), decide("b", 60), decide("c", 40)] == ["allowed", "insufficient_balance", "allowed"]
        assert held() == 100

    def test_the_same_request_twice_is_the_same_decision(self) -> None:
        assert [decide("a", 60), decide("a", 60)] == ["allowed", "allowed"]
        assert held() == 60

    def test_a_settled_hold_is_the_exact_charge_until_it_is_posted(self) -> None:
        decide("a", 60)
        valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0)
        assert held() == 7
        load_into_era(balance(2, 93, "a"))
        assert held() == 0
        assert decide("b", 93) == "allowed"

    def test_settling_twice_or_after_the_posting_changes_nothing(self) -> None:
        decide("a", 60)
        for _ in range(2):
            valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0)
        assert held() == 7
        load_into_era(balance(2, 93, "a"))
        valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0)
        assert held() == 0

    def test_a_released_hold_is_gone(self) -> None:
        decide("a", 60)
        valkey().eval(scripts.RELEASE, 5, *KEYS, "a", 0)
        assert held() == 0

    def test_an_older_balance_is_not_taken_but_its_holds_go(self) -> None:
        decide("a", 10)
        decide("b", 10)
        load_into_era(balance(3, 80, "b"))
        load_into_era(balance(2, 90, "a"))
        assert held() == 0
        assert int(valkey().hget(KEYS[0], "balance") or 0) == 80

    @pytest.mark.django_db
    def test_a_hold_lapses_with_its_lease_unless_it_is_renewed_or_settled(self) -> None:
        for request_id in ("lost", "renewed", "settled"):
            decide(request_id, 10)
        later = NOW_MS + 120_000
        valkey().eval(scripts.RENEW, 5, *KEYS, later + 60_000, "renewed")
        valkey().eval(scripts.SETTLE, 5, *KEYS, "settled", 5, 0, 0)
        holds.list_holding()
        assert holds.sweep_lapsed(datetime.fromtimestamp(later / 1000, UTC)) == 1
        assert held() == 15
        assert valkey().hget(KEYS[0], "lapsed") == b"1"

    def test_a_free_request_is_allowed_without_money(self) -> None:
        load_into_era(balance(2, -5))
        assert [decide("a", 0), decide("b", 1)] == ["allowed", "insufficient_balance"]

    def test_amounts_beyond_what_lua_counts_are_clamped(self) -> None:
        load_into_era(balance(2, 2**62))
        assert decide("a", publish.LARGEST_NANOS) == "allowed"
        assert decide("b", 1) == "insufficient_balance"
        assert held() == publish.LARGEST_NANOS

    def test_a_refusal_writes_nothing(self) -> None:
        before = valkey().hgetall(KEYS[0])
        decide("a", 101)
        assert valkey().hgetall(KEYS[0]) == before
        assert not valkey().exists(KEYS[2], KEYS[3])

    @pytest.mark.django_db
    @pytest.mark.parametrize("way", ["settle", "release", "lapse", "post open", "post settled"])
    def test_a_hold_of_nothing_goes_like_any_other(self, way: str) -> None:
        decide("a", 0)
        match way:
            case "settle" | "post settled":
                valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 0, 0, 0)
            case "release":
                valkey().eval(scripts.RELEASE, 5, *KEYS, "a", 0)
            case "lapse":
                holds.list_holding()
                holds.sweep_lapsed(datetime.fromtimestamp(NOW_MS / 1000 + 90, UTC))
        load_into_era(balance(2, 100, "a"))
        assert held() == 0
        assert not valkey().exists(KEYS[2], KEYS[3])

    def test_many_holds_go_at_once(self) -> None:
        load_into_era(balance(2, 10**6))
        ids = [f"r{number}" for number in range(12_000)]
        pipeline = valkey().pipeline(transaction=False)
        for request_id in ids:
            pipeline.eval(
                scripts.DECIDE,
                5,
                *KEYS,
                NOW_MS,
                request_id,
                1,
                "",
                1,
                60_000,
                KEY,
                0,
                *Windows.at(NOW),
                "take",
                "",
                ERA,
                1,
            )
        pipeline.execute()
        assert held() == 12_000
        load_into_era(balance(3, 10**6 - 12_000, *ids))
        assert held() == 0


@pytest.mark.usefixtures("published")
class TestBudgets:
    def publish(self, budgets: Budgets, windows: Windows, nanos: int) -> None:
        load_into_era(replace(key_record(2), budgets=budgets))
        spent = Spent(key=KEY, windows=windows, day=nanos, week=nanos, month=nanos, total=nanos)
        load_into_era(BalanceRecord(org=ORG, version=2, nanos=100, spent=(spent,)))

    @pytest.mark.parametrize(
        ("window", "ago", "verdict"),
        [
            ("day", 0, "budget_exhausted"),
            ("day", 1, "allowed"),
            ("week", 1, "budget_exhausted"),
            ("week", 7, "allowed"),
            ("month", 7, "budget_exhausted"),
            ("month", 31, "allowed"),
            ("total", 400, "budget_exhausted"),
        ],
    )
    def test_what_was_spent_counts_in_its_own_window_only(self, window: str, ago: int, verdict: str) -> None:
        self.publish(Budgets(**{window: 50}), Windows.at(NOW - timedelta(days=ago)), 45)
        assert decide("a", 6, version=2) == verdict

    def test_a_budget_is_not_judged_before_the_spending_is_known(self) -> None:
        load_into_era(replace(key_record(2), budgets=Budgets(day=50)))
        assert decide("a", 1, version=2) == "missing"

    def test_a_budget_that_is_used_up_refuses_what_is_free_too(self) -> None:
        self.publish(Budgets(total=50), Windows.at(NOW), 50)
        assert decide("a", 0, version=2) == "budget_exhausted"


@pytest.mark.usefixtures("published")
class TestVersions:
    def test_a_late_write_cannot_bring_a_revoked_key_back(self) -> None:
        load_into_era(key_record(3, revoked=True))
        load_into_era(key_record(2))
        assert decide("a", 1, version=2) == "revoked"

    def test_an_old_record_in_a_gateway_is_told_so_and_given_the_new_one(self) -> None:
        load_into_era(key_record(2))
        assert decide("a", 1, version=1) == "stale"
        assert decide("a", 1, version=2) == "allowed"

    def test_what_is_not_there_is_asked_for(self) -> None:
        valkey().flushdb()
        assert decide("a", 1) == "missing"
