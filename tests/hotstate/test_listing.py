"""Sweeps and explanations look at listed organizations alone, and none that matters is missing from the lists."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
import redis
from django.conf import settings
from msgspec import structs

from hotstate import decision_log, holds, names
from hotstate.decision_log import DecisionRecord
from hotstate.fast import HotState
from hotstate.holds import OPEN, Hold
from hotstate.listing import Listing
from hotstate.records import KeyRecord, OrganizationRecord
from hotstate.tasks import list_organizations
from tests.cast import begin_era

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
ID = "01a1fbf2-dbe8-7468-8a90-0ca20661f9e2"
RECORD = DecisionRecord(id=ID, at_ms=int(ID.replace("-", "")[:12], 16), verdict="revoked", face="api")


def with_hotstate(work: Callable[[HotState], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        hotstate = HotState(settings.VALKEY_URL)
        try:
            await hotstate.join()
            return await work(hotstate)
        finally:
            await hotstate.close()

    return asyncio.run(run())


def key_of(org: str) -> KeyRecord:
    nothing: frozenset[str] = frozenset()
    return KeyRecord(
        key="key_a", org=org, version=1, revoked=False, expires_ms=None, scopes=nothing, models=nothing, secrets={}
    )


async def ask(hotstate: HotState, org: str, *, hold: int | None, dry: bool = False) -> None:
    asked: dict[str, Any] = {"found": "", "tokens": 0, "now": NOW, "lease_ms": 1, "holder": "", "dry": dry}
    organization = OrganizationRecord(org=org, version=1, suspended=False, overdraft_nanos=0)
    await hotstate.decide(key_of(org), organization, ID, hold_nanos=hold, **asked)


def lose_a_hold(valkey: redis.Redis, org: str) -> None:
    """Leave one to lapse, of which no list knows."""
    listed = valkey.smembers(names.HOLDING)
    holds.register(valkey, [Hold(org, ID, OPEN, 5, "key_a")], until_ms=1)
    valkey.delete(names.HOLDING)
    if listed:
        valkey.sadd(names.HOLDING, *listed)


class TestHolds:
    def test_who_may_hold_is_listed_before_the_decision_and_nobody_else(self, empty_valkey: redis.Redis) -> None:
        begin_era(empty_valkey)

        async def work(hotstate: HotState) -> None:
            # None of these is known, so that nothing is decided.
            await ask(hotstate, "org_free", hold=None)
            await ask(hotstate, "org_dry", hold=5, dry=True)
            await ask(hotstate, "org_takes", hold=5)

        with_hotstate(work)
        assert empty_valkey.smembers(names.HOLDING) == {b"org_takes"}

    def test_the_sweep_finds_what_lapsed_of_everybody_listed(self, empty_valkey: redis.Redis) -> None:
        orgs = [f"org_{place}" for place in range(3)]
        for place, org in enumerate(orgs):
            request_id = f"{ID[:-1]}{place}"
            holds.register(empty_valkey, [Hold(org, request_id, OPEN, 5, "key_a")], until_ms=1)
        assert [holds.sweep_lapsed(LATER), holds.sweep_lapsed(LATER)] == [3, 0]
        assert holds.lapsed_in_all() == 3

    def test_what_no_list_knows_is_found_by_the_look_through_everything(self, empty_valkey: redis.Redis) -> None:
        lose_a_hold(empty_valkey, "org_old")
        assert holds.sweep_lapsed(LATER) == 0
        list_organizations()
        assert holds.sweep_lapsed(LATER) == 1
        list_organizations()
        assert not empty_valkey.exists(names.HOLDING)

    def test_after_a_loss_of_valkey_it_is_listed_again(self, empty_valkey: redis.Redis) -> None:
        begin_era(empty_valkey)

        async def work(hotstate: HotState) -> None:
            await ask(hotstate, "org_a", hold=5)
            await asyncio.to_thread(empty_valkey.flushdb)
            await asyncio.to_thread(begin_era, empty_valkey)
            await hotstate.join()
            await ask(hotstate, "org_a", hold=5)

        with_hotstate(work)
        assert empty_valkey.smembers(names.HOLDING) == {b"org_a"}


class TestDecisions:
    @pytest.mark.parametrize("org", ["org_a", ""])
    def test_staff_find_one_by_its_id_alone(self, empty_valkey: redis.Redis, org: str) -> None:
        begin_era(empty_valkey)
        told = structs.replace(RECORD, org=org)
        with_hotstate(lambda hotstate: hotstate.log_decisions(org, [told], most=10, oldest_ms=0, keep_ms=60_000))
        # Streams go by Valkey's clock, and look-ups by the id's.
        (entry,) = empty_valkey.xrange(decision_log.stream_of(org))
        at_ms = int(entry[0].split(b"-")[0])
        assert decision_log.find(UUID(int=at_ms << 80)) is None
        found = UUID(int=at_ms << 80 | UUID(ID).int & ((1 << 80) - 1))
        empty_valkey.xadd(decision_log.stream_of(org), {"id": str(found), "record": msgspec.json.encode(told)})
        assert decision_log.find(found) == told

    def test_who_has_none_any_more_is_taken_from_the_list(self, empty_valkey: redis.Redis) -> None:
        empty_valkey.sadd(names.DECIDED, "org_gone", "org_a")
        empty_valkey.xadd(decision_log.stream_of("org_a"), {"id": ID})
        list_organizations()
        assert empty_valkey.smembers(names.DECIDED) == {b"org_a"}


def test_an_organization_is_listed_once_in_an_era_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("hotstate.listing.monotonic", lambda: clock[0])
    listing = Listing()
    assert listing.wants("holding", "org_a", "one")
    listing.note("holding", "org_a")
    assert not listing.wants("holding", "org_a", "one")
    assert listing.wants("decided", "org_a", "one")
    assert listing.wants("holding", "org_a", "two")
    listing.note("holding", "org_a")
    clock[0] = 601.0
    assert listing.wants("holding", "org_a", "two")
