"""The steps together, on books with something of everything in them; and the command that does them by hand."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from time_machine import travel

from accounts.models import Alarm, ApiKey
from billing import closing, turns
from billing.models import Balance, ClosedDay, NightlyRun, NightlyStep, ProofRun
from billing.nightly import running
from billing.nightly.registry import STEPS
from tests.billing.proofs.conftest import DAY, NEXT_NOON

NIGHT = DAY + timedelta(days=2)
THAT_NIGHT = closing.end_of(DAY + timedelta(days=1)) + timedelta(hours=6)
State = NightlyStep.State


@pytest.fixture(autouse=True)
def _books(key: ApiKey, empty_valkey: Any) -> None:
    """Everything here is about these."""


def states() -> dict[str, str]:
    return dict(NightlyStep.objects.values_list("name", "state"))


def test_days_are_closed_and_then_proved_once() -> None:
    running.go_on(lambda: THAT_NIGHT)
    assert ClosedDay.objects.filter(day=DAY + timedelta(days=1)).exists()
    run = ProofRun.objects.get()
    assert (run.night, run.ok) == (NIGHT, True)
    assert states() == {step.name: State.DONE for step in STEPS}
    assert NightlyRun.objects.get().finished_at == THAT_NIGHT
    running.go_on(lambda: THAT_NIGHT)
    assert ProofRun.objects.count() == 1


def test_nothing_is_proved_before_the_day_before_is_closed() -> None:
    running.go_on(lambda: closing.end_of(DAY + timedelta(days=1)) + timedelta(minutes=1))
    assert not ProofRun.objects.exists()
    assert states()["close_day"] == states()["prove"] == State.WAITING
    assert "only just" in NightlyStep.objects.get(name="close_day").error


def test_red_proofs_hold_up_what_needs_them_and_are_proved_again(tamper: Callable[..., None]) -> None:
    any_one = Balance.objects.order_by("organization_id")[0]
    tamper("UPDATE billing_balance SET credit_nanos = credit_nanos + 1 WHERE organization_id = %s", any_one.pk)
    running.go_on(lambda: THAT_NIGHT)
    assert states()["prove"] == State.FAILED
    assert "Red: balances, grants" in NightlyStep.objects.get(name="prove").error
    tamper("UPDATE billing_balance SET credit_nanos = credit_nanos - 1 WHERE organization_id = %s", any_one.pk)
    running.go_on(lambda: THAT_NIGHT + timedelta(hours=1))
    assert set(states().values()) == {State.DONE}


def test_a_day_that_cannot_be_closed_is_told_and_the_books_are_proved_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy() -> int:
        raise turns.Busy("Usage is being posted.")

    monkeypatch.setattr(turns, "take", busy)
    running.go_on(lambda: THAT_NIGHT)
    assert (states()["close_day"], states()["prove"]) == (State.WAITING, State.WAITING)
    assert not Alarm.objects.filter(kind="nightly_fails").exists()
    running.go_on(lambda: THAT_NIGHT + timedelta(hours=2))
    assert states()["close_day"] == State.WAITING
    assert "isn't closed yet" in Alarm.objects.get(kind="nightly_fails").detail
    run = ProofRun.objects.get()
    assert {result.name for result in run.results.all() if not result.ok} == {"nothing_stuck"}
    assert f"{DAY + timedelta(days=1)}, which is over, to be closed" in run.results.get(name="nothing_stuck").offender
    assert states()["draw_statements"] == State.WAITING
    monkeypatch.undo()
    running.go_on(lambda: THAT_NIGHT + timedelta(hours=3))
    assert set(states().values()) == {State.DONE}


def test_a_step_that_fails_raises_an_alarm_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> int:
        raise ValueError("a grant that can't be taken back")

    monkeypatch.setattr("billing.nightly.expiring.expire_grants", broken)
    running.go_on(lambda: THAT_NIGHT)
    assert states()["expire_grants"] == State.FAILED
    assert "a grant that can't" in Alarm.objects.get(kind="nightly_fails").detail
    assert states()["prove"] == State.DONE


def test_every_step_needs_only_what_comes_before_it() -> None:
    known: set[str] = set()
    for step in STEPS:
        assert set(step.needs) <= known
        known.add(step.name)


def test_the_task_looks_at_the_clock() -> None:
    from billing.tasks import nightly

    with travel(THAT_NIGHT, tick=False):
        nightly()
    assert NightlyRun.objects.get().night == NIGHT


class TestCommand:
    def test_it_does_what_is_due_and_tells_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        with travel(THAT_NIGHT, tick=False):
            call_command("nightly")
            call_command("nightly")
        told = capsys.readouterr().out
        assert f"ok   {NIGHT}  prove" in told
        assert told.endswith("Nothing is due.\n")

    def test_one_step_of_one_date(self, capsys: pytest.CaptureFixture[str]) -> None:
        with travel(THAT_NIGHT, tick=False):
            call_command("nightly", "--date", str(NIGHT), "--step", "close_day")
            capsys.readouterr()
            call_command("nightly", "--date", str(NIGHT), "--step", "expire_grants")
        assert capsys.readouterr().out == f"ok   {NIGHT}  expire_grants    grants expired: 0\n"
        assert states()["prove"] == State.WAITING

    def test_a_failed_step_is_an_exit_code(self, tamper: Callable[..., None]) -> None:
        tamper("UPDATE billing_dailyusage SET events = events + 1 WHERE day = %s", NEXT_NOON.date())
        with travel(THAT_NIGHT, tick=False), pytest.raises(SystemExit) as ended:
            call_command("nightly")
        assert ended.value.code == 1

    def test_a_date_to_come_is_refused(self) -> None:
        with travel(THAT_NIGHT, tick=False), pytest.raises(CommandError, match="hasn't begun"):
            call_command("nightly", "--date", str(NIGHT + timedelta(days=1)))
