"""The nights' work: in order, what can be done of it, once; killed, failed or caught up on."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts.models import Alarm
from accounts.models.audit import AuditEntry
from billing.models import NightlyRun, NightlyStep
from billing.nightly import running, turn
from billing.nightly.shape import FoundWrongError, Night, NotReadyError, Result, Step
from tests.cast import make_user

NIGHT = date(2026, 3, 11)
NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)
State = NightlyStep.State


class Killed(BaseException):
    """The process is gone: nothing after this is carried out."""


class Steps:
    """Steps that note what they did, and do as they are told: `behave["b"]` may raise."""

    def __init__(self) -> None:
        self.done: list[tuple[str, date]] = []
        self.behave: dict[str, Callable[[], None]] = {}

    def step(self, name: str, *needs: str) -> Step:
        def run(night: Night) -> Result:
            self.behave.get(name, lambda: None)()
            self.done.append((name, night.date))
            return {"did": name}

        return Step(name, f"{name} is done.", run, needs)


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Steps:
    """`b` needs `a`; `c` needs nothing."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    steps = Steps()
    monkeypatch.setattr(running, "STEPS", [steps.step("a"), steps.step("b", "a"), steps.step("c")])
    return steps


def go_on(now: datetime = NOW) -> None:
    assert running.go_on(lambda: now) is not None


def states(night: date = NIGHT) -> dict[str, str]:
    return dict(NightlyStep.objects.filter(run__night=night).values_list("name", "state"))


@pytest.mark.django_db
class TestOneNight:
    def test_steps_are_done_in_order_once(self, steps: Steps) -> None:
        go_on()
        go_on(NOW + timedelta(minutes=5))
        assert steps.done == [("a", NIGHT), ("b", NIGHT), ("c", NIGHT)]
        run = NightlyRun.objects.get()
        assert (run.night, run.finished_at) == (NIGHT, NOW)
        assert [(row.result, row.attempts) for row in run.steps.all()] == [({"did": name}, 1) for name in "abc"]

    def test_what_is_not_ready_waits_without_failing_and_holds_up_only_what_needs_it(self, steps: Steps) -> None:
        steps.behave["a"] = failing(NotReadyError("gw-1 has not reported."))
        go_on()
        assert states() == {"a": State.WAITING, "b": State.WAITING, "c": State.DONE}
        errors = dict(NightlyStep.objects.values_list("name", "error"))
        assert errors == {"a": "gw-1 has not reported.", "b": "Waits for a.", "c": ""}
        assert not NightlyRun.objects.get().finished_at
        assert not Alarm.objects.exists()
        steps.behave.clear()
        go_on(NOW + timedelta(minutes=5))
        assert NightlyRun.objects.get().finished_at
        assert not NightlyStep.objects.exclude(error="").exists()

    def test_a_step_that_fails_raises_an_alarm_and_the_others_go_on(self, steps: Steps) -> None:
        steps.behave["a"] = failing(RuntimeError("disk full"))
        go_on()
        assert states() == {"a": State.FAILED, "b": State.WAITING, "c": State.DONE}
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.subject) == ("nightly_fails", "a")
        assert "RuntimeError: disk full" in alarm.detail

    def test_what_failed_is_tried_again_after_a_while(self, steps: Steps) -> None:
        steps.behave["a"] = failing(RuntimeError("disk full"))
        go_on()
        go_on(NOW + timedelta(minutes=59))
        assert NightlyStep.objects.get(name="a").attempts == 1
        steps.behave.clear()
        go_on(NOW + timedelta(hours=1))
        assert NightlyStep.objects.get(name="a").attempts == 2
        assert set(states().values()) == {State.DONE}

    def test_what_was_found_wrong_fails_without_another_alarm(self, steps: Steps) -> None:
        steps.behave["a"] = failing(FoundWrongError("Red: balances."))
        go_on()
        assert states()["a"] == State.FAILED
        assert not Alarm.objects.exists()

    @pytest.mark.parametrize("at", ["a", "b", "c"])
    def test_killed_half_way_and_run_again_it_does_what_is_left(self, steps: Steps, at: str) -> None:
        steps.behave[at] = failing(Killed())
        with pytest.raises(Killed):
            running.go_on(lambda: NOW)
        assert states()[at] == State.RUNNING
        steps.behave.clear()
        go_on(NOW + timedelta(minutes=5))
        assert steps.done == [("a", NIGHT), ("b", NIGHT), ("c", NIGHT)]
        assert NightlyStep.objects.get(name=at).attempts == 2

    def test_a_step_of_a_newer_version_joins_a_night_that_is_not_done(
        self, steps: Steps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps.behave["c"] = failing(NotReadyError("later"))
        go_on()
        monkeypatch.setattr(running, "STEPS", [*running.STEPS, steps.step("d")])
        steps.behave.clear()
        running.do(NIGHT, lambda: NOW)
        assert states()["d"] == State.DONE


@pytest.mark.django_db
class TestNights:
    def test_after_a_standstill_the_missing_nights_are_done_in_order(self, steps: Steps) -> None:
        go_on()
        steps.done.clear()
        go_on(NOW + timedelta(days=3))
        assert steps.done == [(name, NIGHT + timedelta(days=day)) for day in (1, 2, 3) for name in "abc"]

    def test_the_first_time_there_is_only_tonight(self, steps: Steps) -> None:
        go_on()
        assert [run.night for run in NightlyRun.objects.all()] == [NIGHT]

    def test_a_night_that_is_not_done_keeps_no_later_one_from_its_turn(self, steps: Steps) -> None:
        steps.behave["a"] = failing(RuntimeError("broken"))
        go_on()
        go_on(NOW + timedelta(days=1))
        assert states(NIGHT + timedelta(days=1))["c"] == State.DONE

    def test_it_is_tonight_from_midnight_on(self, steps: Steps) -> None:
        go_on(datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC))
        assert {night for _, night in steps.done} == {date(2026, 3, 10)}
        go_on(datetime(2026, 3, 11, tzinfo=UTC))
        assert NightlyRun.objects.filter(night=NIGHT).exists()


@pytest.mark.django_db
class TestByHand:
    def test_a_step_can_be_done_again(self, steps: Steps) -> None:
        go_on()
        run = running.do(NIGHT, lambda: NOW, only="b")
        assert run and run.finished_at
        assert [name for name, _ in steps.done] == ["a", "b", "c", "b"]

    def test_a_step_waits_for_what_it_needs_by_hand_too(self, steps: Steps) -> None:
        running.do(NIGHT, lambda: NOW, only="b")
        assert steps.done == []
        assert NightlyStep.objects.get(name="b").error == "Waits for a."

    def test_what_failed_a_moment_ago_is_tried_at_once(self, steps: Steps) -> None:
        steps.behave["a"] = failing(RuntimeError("x"))
        go_on()
        steps.behave.clear()
        running.do(NIGHT, lambda: NOW)
        assert set(states().values()) == {State.DONE}

    def test_a_night_that_has_not_begun_is_refused(self, steps: Steps) -> None:
        with pytest.raises(running.NotThatDateError, match="hasn't begun"):
            running.do(NIGHT + timedelta(days=1), lambda: NOW)

    def test_a_step_that_is_under_way_is_left_alone(self, steps: Steps) -> None:
        steps.behave["b"] = failing(Killed())
        with pytest.raises(Killed):
            running.go_on(lambda: NOW)
        running.ask_again(NightlyStep.objects.get(name="b"), actor=make_user("staff@example.com"), now=NOW)
        assert states()["b"] == State.RUNNING

    def test_a_step_that_staff_ask_for_again_is_done_the_next_time(self, steps: Steps) -> None:
        go_on()
        person = make_user("staff@example.com", is_staff=True)
        running.ask_again(NightlyStep.objects.get(name="b"), actor=person, now=NOW)
        assert AuditEntry.objects.get(actor=person).target == f"{NIGHT} b"
        assert not NightlyRun.objects.get().finished_at
        go_on()
        assert [name for name, _ in steps.done] == ["a", "b", "c", "b"]
        assert NightlyRun.objects.get().finished_at


@pytest.fixture
def other() -> Iterator[Any]:
    """Another process has the nights' work in hand: a connection of its own, and an event that lets it end."""
    has_it, go = Event(), Event()
    ended: list[str] = []

    def work() -> None:
        try:
            with turn.alone() as alone:
                assert alone
                has_it.set()
                assert go.wait(30)
        except OperationalError:
            ended.append("cut off")
        finally:
            connection.close()

    thread = Thread(target=work)
    thread.start()
    assert has_it.wait(30)
    yield go, thread, ended
    go.set()
    thread.join(30)


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_who_comes_second_does_nothing(self, steps: Steps, other: Any) -> None:
        assert running.go_on(lambda: NOW) is None
        assert running.do(NIGHT, lambda: NOW) is None
        assert steps.done == []
        go, thread, _ = other
        go.set()
        thread.join(30)
        go_on()
        assert len(steps.done) == 3

    def test_a_process_that_is_gone_holds_nobody_up(self, steps: Steps, other: Any) -> None:
        go, thread, ended = other
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            assert cursor.fetchall() == [(True,)]
        go_on()
        assert len(steps.done) == 3
        go.set()
        thread.join(30)
        assert ended == ["cut off"]
