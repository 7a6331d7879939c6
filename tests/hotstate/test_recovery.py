"""Valkey lost its state: only what PostgreSQL says since is believed, and no charge is forgotten or doubled."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from msgspec.structs import replace

from accounts.keys import revoke_key
from accounts.models import ApiKey, Organization
from billing import archived
from billing.models import Balance, Segment
from gateway.deciding.keyring import load_and_publish
from gateway.models import GatewayProcess
from hotstate import eras, holds, loading, names, publish, recovery, scripts
from hotstate.client import valkey
from hotstate.errors import LostError
from hotstate.holds import Hold
from hotstate.records import BalanceRecord, Budgets, Spent, Windows
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
LEASE_MS = 60_000


def now_ms() -> int:
    return int(timezone.now().timestamp() * 1000)


def era() -> eras.Era:
    found = eras.read(valkey())
    assert found
    return found


def decide(key: ApiKey, request_id: str = "r", nanos: int = 1, *, in_era: str = "") -> str:
    keys = names.decision_keys(key.organization.public_id, key.public_id)
    windows = Windows.at(timezone.now())
    arguments = [now_ms(), request_id, key.version, "", nanos, LEASE_MS, key.public_id, 0, *windows, "take", ""]
    asked = (*arguments, in_era or era().id, key.organization.version)
    verdict: bytes = valkey().eval(scripts.DECIDE, 5, *keys, *asked)[0]
    return verdict.decode()


def held(organization: Organization) -> int:
    return int(valkey().hget(names.organization_hash(organization.public_id), "held") or 0)


def balance(organization: Organization) -> int:
    return int(valkey().hget(names.organization_hash(organization.public_id), "balance") or 0)


@pytest.fixture
def organization(empty_valkey: Any) -> Organization:
    make_model()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    recovery.recover_if_lost(timezone.now)
    return organization


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    key = make_key(organization)[0]
    load(key)
    return key


def load(key: ApiKey) -> None:
    digest = bytes(key.secrets.get().digest).hex()
    assert load_and_publish(digest, timezone.now(), era().id)


class TestWhatIsBelieved:
    def test_an_emptied_valkey_decides_nothing_before_it_is_recovered(self, key: ApiKey) -> None:
        before = era().id
        assert decide(key) == "allowed"
        valkey().flushdb()
        assert decide(key, in_era=before) == "missing"
        assert recovery.recover_if_lost(timezone.now)
        assert decide(key, in_era=before) == "missing"
        assert decide(key) == "allowed"

    def test_an_older_state_is_believed_by_nobody(self, key: ApiKey) -> None:
        """A key that was revoked in the lost seconds: in the snapshot it is as good as ever."""
        snapshot = {name: valkey().dump(name) for name in valkey().scan_iter()}
        revoke_key(key, actor=None, now=timezone.now())
        valkey().flushdb()
        for name, dumped in snapshot.items():
            valkey().restore(name, 0, dumped)
        valkey().hset(names.ERA, "run", "the run before")
        assert recovery.recover_if_lost(timezone.now)
        # A gateway that knew the old record is told what is so.
        assert decide(key) == "revoked"

    def test_a_change_that_comes_late_brings_nothing_into_the_era(self, key: ApiKey) -> None:
        """Its successor was delivered and lost: PostgreSQL is asked."""
        late = key.record()
        revoke_key(key, actor=None, now=timezone.now())
        valkey().flushdb()
        publish.put(valkey(), key.organization.record())
        publish.put(valkey(), late)
        eras.begin(valkey(), None, "run", timezone.now())
        assert decide(key) == "missing"
        load(key)
        assert decide(key) == "revoked"

    def test_what_a_key_spent_is_not_believed_from_a_late_change(self, key: ApiKey) -> None:
        org = key.organization.public_id
        spent = Spent(key=key.public_id, windows=Windows.at(timezone.now()), day=0, week=0, month=0, total=0)
        name = names.key_hash(org, key.public_id)
        record = replace(key.record(), version=2, budgets=Budgets(total=100))
        publish.put(valkey(), record)
        publish.put(valkey(), BalanceRecord(org=org, version=99, nanos=DOLLAR, spent=(spent,)))
        assert valkey().hget(name, "spent_version") is None

    def test_a_valkey_that_is_emptied_while_a_key_is_loaded_has_no_organization_of_the_era(
        self, organization: Organization, key: ApiKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = era().id
        valkey().flushdb()
        with pytest.raises(LostError):
            loading.load(valkey(), [organization.record(), key.record()], before)
        assert decide(key, in_era=before) == "missing"
        recovery.recover_if_lost(timezone.now)
        valkey().hdel(names.organization_hash(organization.public_id), "era")
        begun = era().id
        real = eras.require

        def emptied_just_then(client: Any, name: str) -> None:
            real(client, name)
            valkey().flushdb()
            # Another one loads it too.
            publish.put(valkey(), organization.record(), era=begun, token="another")

        monkeypatch.setattr(eras, "require", emptied_just_then)
        loading.load(valkey(), [organization.record(), key.record()], begun)
        assert decide(key, in_era=begun) == "missing"

    def test_many_who_load_at_once_all_get_on(self, organization: Organization) -> None:
        keys = [make_key(organization)[0] for _ in range(8)]
        valkey().hdel(names.organization_hash(organization.public_id), "era")
        threads = [threading.Thread(target=_in_thread, args=[lambda key=key: load(key)]) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert {decide(key, key.public_id) for key in keys} == {"allowed"}


class TestCharges:
    def test_what_is_archived_is_posted_before_decisions_go_on(self, key: ApiKey) -> None:
        line = usage_line(key)
        decide(key, line["id"], 5_000_000)
        make_segment(raw(line))
        valkey().flushdb()
        recovery.recover_if_lost(timezone.now)
        posted = Balance.objects.get(organization=key.organization).nanos
        assert posted < DOLLAR
        assert (balance(key.organization), held(key.organization)) == (posted, 0)

    @pytest.mark.parametrize("why", ["it fails", "there is no time"])
    def test_what_can_not_be_posted_is_held_until_it_is(
        self, key: ApiKey, monkeypatch: pytest.MonkeyPatch, settings: Any, why: str
    ) -> None:
        line = usage_line(key, org=key.organization.public_id, charge_nanos=4_500_000)
        segment = make_segment(raw(line, b'{"v":1,"torn'))
        valkey().flushdb()
        with monkeypatch.context() as failing:
            if why == "it fails":
                failing.setattr(archived, "post_segment", _fail)
            else:
                settings.RECOVERY_SECONDS = 0
            recovery.recover_if_lost(timezone.now)
        assert Segment.objects.get(pk=segment.pk).posted_at is None
        assert (balance(key.organization), held(key.organization)) == (DOLLAR, 4_500_000)
        archived.post_segment(segment.pk, now=timezone.now())
        assert (balance(key.organization), held(key.organization)) == (DOLLAR - 4_500_000, 0)

    def test_a_hold_of_what_is_posted_already_is_told_for_nothing(self, key: ApiKey) -> None:
        line = usage_line(key)
        archived.post_segment(make_segment(raw(line)).pk, now=timezone.now())
        org = key.organization.public_id
        told = [Hold(org, line["id"], state, 7, key.public_id) for state in (holds.SETTLED, holds.OPEN)]
        for hold in told:
            holds.register(valkey(), [hold], now_ms() + LEASE_MS)
        assert held(key.organization) == 0

    def test_an_older_state_gets_the_present_amounts(self, key: ApiKey) -> None:
        ids = [usage_line(key)["id"] for _ in range(4)]
        grown, settled, told_twice, lost = ids
        for request_id in (grown, settled, told_twice):
            decide(key, request_id, 10)
        org = key.organization.public_id
        told = [
            Hold(org, grown, holds.OPEN, 30, key.public_id),
            Hold(org, settled, holds.SETTLED, 4, key.public_id),
            Hold(org, told_twice, holds.SETTLED, 5, key.public_id),
            Hold(org, told_twice, holds.OPEN, 50, key.public_id),
            Hold(org, lost, holds.OPEN, 100, key.public_id),
        ]
        for _ in range(2):
            holds.register(valkey(), told, now_ms() + LEASE_MS)
        assert held(key.organization) == 30 + 4 + 5 + 100
        counters = names.counters_of(org)
        assert valkey().hget(counters, "open") == b"2"
        assert valkey().zcard(names.leases_of(org)) == 2


class TestWhoIsWaitedFor:
    def test_a_gateway_that_does_not_answer_is_waited_for_until_the_set_time(self, key: ApiKey, settings: Any) -> None:
        settings.RECOVERY_SECONDS = 7
        GatewayProcess.objects.create(name="gw-dead", host="h", started_at=timezone.now(), seen_at=timezone.now())
        valkey().flushdb()
        start = timezone.now()
        ticks = iter(range(1000))
        looked: list[tuple[int, bool]] = []

        def clock() -> datetime:
            at = next(ticks)
            if found := eras.read(valkey()):
                looked.append((at, found.serving))
            return start + timedelta(seconds=at)

        recovery.recover_if_lost(clock)
        assert era().serving
        assert [at for at, serving in looked if not serving][-1] >= 7

    def test_all_that_answered_are_enough(self, key: ApiKey, settings: Any) -> None:
        settings.RECOVERY_SECONDS = 3600
        now = timezone.now()
        for name, seen_at in (("gw-a", now), ("gw-b", now), ("gw-gone", now - timedelta(minutes=5))):
            GatewayProcess.objects.create(name=name, host="h", started_at=now, seen_at=seen_at)
        valkey().flushdb()
        recovering = threading.Thread(target=_in_thread, args=[lambda: recovery.recover_if_lost(timezone.now)])
        recovering.start()
        for name in ("gw-a", "gw-b"):
            wait_until(lambda: eras.read(valkey()) is not None, "the era")
            assert not era().serving
            eras.answer(valkey(), era().id, name)
        recovering.join(20)
        assert era().serving

    def test_two_at_once_recover_once(self, key: ApiKey) -> None:
        valkey().flushdb()
        did: list[bool] = []
        work = lambda: did.append(recovery.recover_if_lost(timezone.now))  # noqa: E731
        threads = [threading.Thread(target=_in_thread, args=[work]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(did) == [False, False, False, True]

    def test_a_recovery_that_was_killed_is_gone_on_with(self, key: ApiKey) -> None:
        valkey().flushdb()
        eras.begin(valkey(), None, eras.run_of(valkey()), timezone.now())
        begun = era()
        assert recovery.recover_if_lost(timezone.now)
        assert era()._replace(state="recovering", published=False) == begun
        assert not recovery.recover_if_lost(timezone.now)

    def test_an_era_that_ended_is_not_noted_about(self, key: ApiKey) -> None:
        before = era().id
        valkey().flushdb()
        recovery.recover_if_lost(timezone.now)
        with pytest.raises(LostError):
            eras.answer(valkey(), before, "gw-late")


def _fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("this segment can't be posted")


def _in_thread(work: Callable[[], Any]) -> None:
    try:
        work()
    finally:
        connections.close_all()
