"""Money set aside for a posting: no request can have it, no limit counts it, and nothing of it is stuck."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest

from hotstate import eras, holds, names, publish, scripts
from hotstate.aside import BehindError, give_back, set_aside
from hotstate.client import valkey
from hotstate.errors import LostError
from hotstate.holds import OPEN, Hold
from hotstate.loading import load
from hotstate.models import LapsedHold
from hotstate.records import BalanceRecord, KeyRecord, Limits, OrganizationRecord, Windows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_valkey")]
REQUEST = str(uuid4())
ORG, NOW = "org_aside", datetime(2027, 1, 31, tzinfo=UTC)
ORGANIZATION = OrganizationRecord(
    org=ORG, version=1, suspended=False, overdraft_nanos=0, limits=Limits(concurrent_requests=1)
)
BALANCE = BalanceRecord(org=ORG, version=3, nanos=100)
KEY = KeyRecord(
    org=ORG, key="key_a", version=1, revoked=False, expires_ms=None, scopes=frozenset(), models=frozenset(), secrets={}
)


def era() -> str:
    found = eras.read(valkey())
    assert found
    return found.id


@pytest.fixture
def loaded(empty_valkey: Any) -> None:
    load(valkey(), [ORGANIZATION, KEY, BALANCE], era())


def decide(nanos: int) -> str:
    keys, windows = names.decision_keys(ORG, "key_a"), Windows.at(NOW)
    asked = (int(NOW.timestamp() * 1000), str(uuid4()), 1, "", nanos, 60_000, "key_a", 0)
    answer: Any = valkey().eval(scripts.DECIDE, 5, *keys, *asked, *windows, "take", "", era(), 1, "gw")
    return str(answer[0].decode())


def held() -> int:
    return int(valkey().hget(names.organization_hash(ORG), "held") or 0)


def aside(nanos: int, identity: UUID | None = None) -> bool:
    return set_aside(ORGANIZATION, BALANCE, identity or uuid4(), nanos, now=NOW)


def test_what_is_set_aside_no_request_can_have(loaded: None) -> None:
    assert aside(60)
    assert decide(41) == "insufficient_balance"
    assert decide(40) == "allowed"


def test_what_requests_hold_can_not_be_set_aside(loaded: None) -> None:
    assert decide(60) == "allowed"
    assert not aside(41)
    assert held() == 60
    assert aside(40)


def test_it_takes_no_place_of_a_limit(loaded: None) -> None:
    """One request at once is allowed, and money that is set aside is none."""
    assert aside(60)
    assert decide(10) == "allowed"
    assert decide(10) == "concurrency_limited"


def test_the_posting_takes_its_place(loaded: None) -> None:
    identity = uuid4()
    aside(60, identity)
    posted = BalanceRecord(org=ORG, version=4, nanos=40, posted=(str(identity),))
    publish.put(valkey(), posted)
    assert held() == 0
    assert decide(41) == "insufficient_balance"
    assert valkey().zcard(names.leases_of(ORG)) == 0


def test_it_can_be_given_back_and_a_lease_does_it_where_nobody_does(loaded: None) -> None:
    identity = uuid4()
    aside(60, identity)
    give_back(ORG, identity)
    assert held() == 0
    aside(60)
    assert holds.sweep_lapsed(NOW + timedelta(seconds=59)) == 0
    assert held() == 60
    # No request was lost: nothing to count, nothing to explain.
    assert holds.sweep_lapsed(NOW + timedelta(seconds=61)) == 0
    assert held() == holds.lapsed_in_all() == 0
    assert not LapsedHold.objects.exists()


def test_a_request_that_lapses_beside_it_is_told_as_ever(loaded: None) -> None:
    aside(10)
    holds.register(valkey(), [Hold(ORG, REQUEST, OPEN, 50, "key_a")], until_ms=int(NOW.timestamp() * 1000))
    assert holds.sweep_lapsed(NOW + timedelta(minutes=2)) == 1
    assert LapsedHold.objects.get().request_id == REQUEST
    assert held() == 0


def test_a_balance_that_valkey_was_not_told_of_is_not_judged(loaded: None) -> None:
    newer = BalanceRecord(org=ORG, version=4, nanos=10)
    with pytest.raises(BehindError):
        set_aside(ORGANIZATION, newer, uuid4(), 1, now=NOW)
    assert held() == 0


def test_an_organization_that_valkey_lost_is_loaded(empty_valkey: Any) -> None:
    assert aside(60)
    assert decide(41) in {"insufficient_balance", "missing"}
    assert held() == 60


def test_without_an_era_nothing_is_set_aside(empty_valkey: Any) -> None:
    empty_valkey.flushdb()
    with pytest.raises(LostError):
        aside(1)


def test_a_crowd_never_sets_aside_more_than_there_is(loaded: None) -> None:
    start, done = Barrier(20), []

    def one(number: int) -> None:
        start.wait(30)
        done.append(aside(10) if number % 2 else decide(0) and aside(10))

    crowd = [Thread(target=one, args=[number]) for number in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(60)
    assert (sum(done), held()) == (10, 100)
