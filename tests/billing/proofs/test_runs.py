"""Runs of the proofs: one a night after the closing, one for who asks, and an alarm for each proof that is red."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from accounts.models import Alarm, ApiKey
from billing import closing, nightly
from billing.models import ClosedDay, ProofRun
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


def test_by_night_days_are_closed_and_then_proved_once(key: ApiKey, empty_valkey: Any) -> None:
    nightly.keep_books(clock)
    assert ClosedDay.objects.filter(day=DAY + timedelta(days=1)).exists()
    run = ProofRun.objects.get()
    assert (run.night, run.ok) == (THAT_NIGHT.date(), True)
    nightly.keep_books(clock)
    assert ProofRun.objects.count() == 1


def test_nothing_is_proved_before_the_day_before_is_closed(key: ApiKey) -> None:
    early = closing.end_of(DAY + timedelta(days=1)) + timedelta(minutes=5)
    nightly.keep_books(lambda: early)
    assert not ProofRun.objects.exists()


def test_the_task_looks_at_the_clock(key: ApiKey, empty_valkey: Any) -> None:
    from billing.tasks import keep_books, prove_books

    with travel(THAT_NIGHT.astimezone(UTC), tick=False):
        keep_books()
        prove_books(ProofRun.objects.get().pk)
    assert ProofRun.objects.get().finished_at == THAT_NIGHT
