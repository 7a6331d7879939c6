"""Runs of the proofs: one a night after the closing, one for who asks, and an alarm for each proof that is red."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from accounts.models import Alarm, ApiKey
from billing import closing
from billing.closing import close_day
from billing.models import NightlyRun, ProofRun
from billing.proofs import PROOFS, asking, runs
from hotstate.errors import Unreachable
from tests.billing.proofs.conftest import DAY, NEXT_NOON
from tests.cast import make_user

THAT_NIGHT = closing.end_of(DAY + timedelta(days=1)) + timedelta(hours=6)


def clock() -> datetime:
    return THAT_NIGHT


@pytest.fixture
def asked(key: ApiKey, empty_valkey: Any) -> ProofRun:
    return ProofRun.objects.create(asked_at=NEXT_NOON)


def test_a_run_keeps_what_each_proof_found(asked: ProofRun) -> None:
    done = runs.carry_out(asked.pk, lambda: NEXT_NOON)
    assert done
    assert (done.ok, done.lapsed_holds, done.finished_at) == (True, 0, NEXT_NOON)
    assert [result.name for result in done.results.all()] == [proof.name for proof in PROOFS]
    assert runs.newest() == done
    assert runs.progress(done) == (len(PROOFS), len(PROOFS))
    assert not Alarm.objects.filter(kind="books_wrong").exists()


def test_a_run_is_carried_out_once(asked: ProofRun) -> None:
    assert runs.carry_out(asked.pk, lambda: NEXT_NOON)
    assert runs.carry_out(asked.pk, lambda: NEXT_NOON + timedelta(days=1)) is None


def test_a_run_that_was_killed_is_found_and_carried_out_again(asked: ProofRun) -> None:
    ProofRun.objects.update(started_at=NEXT_NOON)
    assert runs.waiting(NEXT_NOON + timedelta(minutes=30)) == []
    assert runs.carry_out(asked.pk, lambda: NEXT_NOON + timedelta(minutes=30)) is None
    assert runs.waiting(NEXT_NOON + timedelta(hours=2)) == [asked.pk]
    assert runs.carry_out(asked.pk, lambda: NEXT_NOON + timedelta(hours=2))


def test_a_run_whose_message_was_lost_is_found(asked: ProofRun) -> None:
    assert runs.waiting(NEXT_NOON + timedelta(seconds=30)) == []
    assert runs.waiting(NEXT_NOON + timedelta(minutes=2)) == [asked.pk]


def test_a_red_proof_raises_an_alarm_with_its_offender(asked: ProofRun, tamper: Callable[..., None]) -> None:
    tamper("UPDATE billing_dailyusage SET events = 9 WHERE day = %s", NEXT_NOON.date())
    done = runs.carry_out(asked.pk, lambda: NEXT_NOON)
    assert done and done.ok is False
    alarm = Alarm.objects.get(kind="books_wrong")
    assert alarm.subject == "daily_sums"
    assert str(NEXT_NOON.date()) in alarm.detail


def test_holds_are_not_counted_while_valkey_is_away(asked: ProofRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> int:
        raise Unreachable("away")

    monkeypatch.setattr("hotstate.holds.lapsed_in_all", away)
    done = runs.carry_out(asked.pk, lambda: NEXT_NOON)
    assert done
    assert (done.ok, done.lapsed_holds) == (True, None)


def test_somebody_who_asks_twice_gets_one_run(key: ApiKey) -> None:
    person = make_user("staff@example.com")
    first = asking.ask(NEXT_NOON, day=DAY, actor=person)
    assert asking.ask(NEXT_NOON, day=DAY, actor=person) == first
    assert asking.ask(NEXT_NOON, day=None, actor=person) != first


def test_the_task_looks_at_the_clock(asked: ProofRun) -> None:
    from billing.tasks import prove_books

    with travel(THAT_NIGHT.astimezone(UTC), tick=False):
        prove_books(asked.pk)
    assert ProofRun.objects.get().finished_at == THAT_NIGHT


def test_a_sweep_finds_what_was_asked_for_and_forgotten(asked: ProofRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing.tasks import sweep_proof_runs

    told: list[int] = []
    monkeypatch.setattr("billing.tasks.enqueue.now", lambda _task, pk: told.append(pk))
    sweep_proof_runs()
    assert told == [asked.pk]


def test_a_night_proves_again_what_was_red(key: ApiKey, empty_valkey: Any, tamper: Callable[..., None]) -> None:
    night = THAT_NIGHT.date()
    close_day(night - timedelta(days=1), THAT_NIGHT)
    tamper("UPDATE billing_dailyusage SET events = events + 1 WHERE day = %s", NEXT_NOON.date())
    assert runs.by_night(night, clock).ok is False
    tamper("UPDATE billing_dailyusage SET events = events - 1 WHERE day = %s", NEXT_NOON.date())
    assert runs.by_night(night, clock).ok is True
    assert ProofRun.objects.count() == 1


def test_a_night_that_is_over_takes_what_a_later_one_found(key: ApiKey, empty_valkey: Any) -> None:
    night = THAT_NIGHT.date()
    later = runs.by_night(night, clock)
    assert runs.by_night(night - timedelta(days=1), clock) == later


class TestWatch:
    def alarms(self, now: datetime) -> int:
        runs.watch(now)
        return Alarm.objects.filter(kind="books_unproved").count()

    def test_no_run_that_ended_for_26_hours_is_an_alarm(self, asked: ProofRun) -> None:
        runs.carry_out(asked.pk, lambda: NEXT_NOON)
        assert self.alarms(NEXT_NOON + timedelta(hours=26)) == 0
        ProofRun.objects.create(asked_at=NEXT_NOON, started_at=NEXT_NOON)
        ProofRun.objects.create(asked_at=NEXT_NOON, day=DAY, finished_at=NEXT_NOON + timedelta(hours=9), ok=True)
        assert self.alarms(NEXT_NOON + timedelta(hours=27)) == 1

    def test_nights_without_any_run_are_one_too(self, key: ApiKey) -> None:
        assert self.alarms(NEXT_NOON) == 0
        NightlyRun.objects.create(night=DAY, started_at=NEXT_NOON)
        assert self.alarms(NEXT_NOON + timedelta(hours=26)) == 0
        assert self.alarms(NEXT_NOON + timedelta(hours=27)) == 1
