"""What Valkey is told only ever gets newer, and holds go exactly once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from msgspec.structs import replace

from accounts.keys import create_key, revoke_key
from accounts.models import Organization
from billing.posting import post_segment
from hotstate import holds, names, outbox, publish, recovery, scripts
from hotstate.client import valkey
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.models import OutboxEntry
from hotstate.records import BalanceRecord, Budgets, KeyRecord, OrganizationRecord, Spent, Windows
from tests.cast import (
    DOLLAR,
    ERA,
    give_credit,
    load_into_era,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    usage_line,
)
from tests.cast import request_id as new_request_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
clock = timezone.now
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
        valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0, 0)
        assert held() == 7
        load_into_era(balance(2, 93, "a"))
        assert held() == 0
        assert decide("b", 93) == "allowed"

    def test_settling_twice_or_after_the_posting_changes_nothing(self) -> None:
        decide("a", 60)
        for _ in range(2):
            valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0, 0)
        assert held() == 7
        load_into_era(balance(2, 93, "a"))
        valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 7, 0, 0, 0)
        assert held() == 0

    def test_a_released_hold_is_gone(self) -> None:
        decide("a", 60)
        valkey().eval(scripts.RELEASE, 5, *KEYS, "a")
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
        valkey().eval(scripts.SETTLE, 5, *KEYS, "settled", 5, 0, 0, 0)
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
                valkey().eval(scripts.SETTLE, 5, *KEYS, "a", 0, 0, 0, 0)
            case "release":
                valkey().eval(scripts.RELEASE, 5, *KEYS, "a")
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


@pytest.mark.django_db(transaction=True)
class TestOutbox:
    @pytest.fixture
    def organization(self, empty_valkey: Any) -> Organization:
        return make_organization()

    def test_a_change_is_delivered_after_commit(self, organization: Organization) -> None:
        key, _ = make_key(organization)
        assert valkey().hget(names.decision_keys(organization.public_id, key.public_id)[1], "version") == b"1"
        assert not OutboxEntry.objects.exists()

    def test_what_a_rollback_took_back_is_never_told(self, organization: Organization) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            make_key(organization)
            raise RuntimeError
        assert not list(valkey().scan_iter("km:digest:*"))

    def test_what_a_crash_after_commit_lost_is_healed(
        self, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(outbox, "_deliver_quietly", lambda ids: None)
            key, _ = make_key(organization)
        assert OutboxEntry.objects.count() == 1
        assert outbox.deliver() == 1
        assert valkey().exists(names.decision_keys(organization.public_id, key.public_id)[1])

    def test_revoking_says_so_where_valkey_is_out_of_reach_and_is_healed(
        self, organization: Organization, unreachable: Any
    ) -> None:
        key, _ = make_key(organization)
        with unreachable():
            with pytest.raises(Unreachable):
                revoke_key(key, actor=None, now=NOW)
            key.refresh_from_db()
            assert key.revoked_at == NOW
        outbox.deliver()
        assert valkey().hget(names.decision_keys(organization.public_id, key.public_id)[1], "revoked") == b"1"

    def test_an_emptied_valkey_is_filled_again(self, organization: Organization) -> None:
        give_credit(organization, DOLLAR)
        key, _ = create_key(
            organization, name="k", scopes=["chat"], allowed_models=[], expires_at=None, actor=None, now=NOW
        )
        valkey().flushdb()
        assert recovery.recover_if_lost(clock)
        keys = names.decision_keys(organization.public_id, key.public_id)
        assert valkey().hget(keys[0], "balance") == str(DOLLAR).encode()
        assert valkey().hget(keys[1], "revoked") == b"0"
        assert not recovery.recover_if_lost(clock)

    def test_holds_that_are_posted_go_when_an_older_state_came_back(self, organization: Organization) -> None:
        make_model()
        give_credit(organization, DOLLAR)
        key, _ = make_key(organization)
        line, running = usage_line(key), str(new_request_id(datetime.now(UTC)))
        post_segment(make_segment(raw(line)).pk, now=datetime.now(UTC))
        keys = names.decision_keys(organization.public_id, key.public_id)
        valkey().hset(keys[2], mapping={line["id"]: f"settled:5:{key.public_id}", running: f"open:7:{key.public_id}"})
        valkey().hset(keys[0], "held", 12)
        valkey().hset(names.ERA, "run", "another")
        recovery.recover_if_lost(clock)
        assert list(valkey().hgetall(keys[2])) == [running.encode()]
        assert int(valkey().hget(keys[0], "held") or 0) == 7


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def reaching_nothing() -> Iterator[None]:
        raise Unreachable("no Valkey")
        yield

    @contextmanager
    def out_of_reach() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "reaching_valkey", reaching_nothing)
            yield

    return out_of_reach
