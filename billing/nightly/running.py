"""Going on with the nights: what is due is begun in order, and what can be done of it is done.

A step that isn't ready waits; one that fails is tried again; those that need neither go on. Killed at any moment, the
next call finds the steps as they were left.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import structlog
from django.core.cache import cache
from django.db import transaction

from accounts.models import User, alarm, audit
from billing.models import NightlyRun, NightlyStep
from billing.nightly import turn
from billing.nightly.registry import STEPS
from billing.nightly.shape import FoundWrongError, Night, NotReadyError, Step
from config import enqueue

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
State = NightlyStep.State
# A step that failed is tried again by itself after this.
AGAIN = timedelta(hours=1)
# A step that isn't ready so long after midnight needs a person.
LATE = timedelta(hours=7)
# The most nights that are begun for a standstill.
MOST_NIGHTS = 1000


class NotThatDateError(ValueError):
    """A date whose night can't be done; the message says why."""


def go_on(clock: Clock) -> list[NightlyRun] | None:
    """Do what has come due, the oldest night first. None where another process is at it."""
    with turn.alone() as alone:
        if not alone:
            return None
        begin_due(clock())
        runs = list(NightlyRun.objects.unfinished().order_by("night"))
        for run in runs:
            _carry_on(run, clock)
        return runs


def do(
    night: date, clock: Clock, *, only: str = "", heard: Callable[[NightlyStep], None] = lambda _: None
) -> NightlyRun | None:
    """Do one night by hand, now: also what failed a moment ago, or with `only` that step, done or not.

    `heard` is told of each step as it begins. None where another process is at it. Raises NotThatDateError.
    """
    if night > clock().date():
        raise NotThatDateError(f"The night of {night} hasn't begun.")
    with turn.alone() as alone:
        if not alone:
            return None
        run = _begun(night, clock())
        _carry_on(run, clock, by_hand=True, only=only, heard=heard)
        return run


def ask_again(step: NightlyStep, *, actor: User, now: datetime) -> None:
    """Let a step be done once more, as soon as somebody goes on with the nights; a worker is told."""
    from billing.tasks import nightly

    with transaction.atomic():
        waiting = NightlyStep.objects.filter(pk=step.pk).exclude(state=State.RUNNING)
        if waiting.update(state=State.WAITING, error="", finished_at=None):
            NightlyRun.objects.filter(pk=step.run_id).update(finished_at=None)
            audit.record("nightly.again", f"{step.run.night} {step.name}", actor=actor, now=now)
        enqueue.after_commit(nightly)


def begin_due(now: datetime) -> None:
    """A row for each night that is due, and for its steps: since the last one, or tonight's alone the first time."""
    today = now.date()
    last = NightlyRun.objects.order_by("-night").values_list("night", flat=True).first()
    first = last + timedelta(days=1) if last else today
    for number in range(min((today - first).days + 1, MOST_NIGHTS)):
        _begun(first + timedelta(days=number), now)


def progress(run: NightlyRun) -> tuple[int, int]:
    """How far the step is that is under way: how much is done, of how much."""
    told: tuple[int, int] = cache.get(f"nightly:{run.pk}", (0, 0))
    return told


def _begun(night: date, now: datetime) -> NightlyRun:
    run, _ = NightlyRun.objects.get_or_create(night=night, defaults={"started_at": now})
    # Also the steps that a newer version of the product has more.
    missing = {step.name for step in STEPS} - set(run.steps.values_list("name", flat=True))
    NightlyStep.objects.bulk_create(NightlyStep(run=run, name=step.name) for step in STEPS if step.name in missing)
    return run


def _carry_on(
    run: NightlyRun,
    clock: Clock,
    *,
    by_hand: bool = False,
    only: str = "",
    heard: Callable[[NightlyStep], None] = lambda _: None,
) -> None:
    rows = {row.name: row for row in run.steps.all()}
    for step in STEPS:
        row = rows.get(step.name)
        if row is None or (only and step.name != only):
            continue
        if only or _is_due(row, clock(), by_hand=by_hand):
            heard(row)
            _attempt(step, row, rows, Night(run.night, clock, lambda done, total: _note(run, done, total)))
    done = all(rows[step.name].state == State.DONE for step in STEPS if step.name in rows)
    if done != bool(run.finished_at):
        run.finished_at = clock() if done else None
        run.save(update_fields=["finished_at"])


def _is_due(row: NightlyStep, now: datetime, *, by_hand: bool) -> bool:
    # Who has the turn is alone: what is marked as under way was left behind by a process that was killed.
    if row.state == State.FAILED and not by_hand:
        return not row.finished_at or row.finished_at <= now - AGAIN
    return row.state != State.DONE


def _attempt(step: Step, row: NightlyStep, rows: dict[str, NightlyStep], night: Night) -> None:
    waits_for = [name for name in step.needs if name in rows and rows[name].state != State.DONE]
    if waits_for and night.age <= step.patience:
        _put_off(row, f"Waits for {', '.join(waits_for)}.")
        return
    row.state, row.started_at, row.finished_at, row.error = State.RUNNING, night.clock(), None, ""
    row.attempts += 1
    row.save()
    night.tell(0, 0)
    try:
        row.result = step.run(night)
    except NotReadyError as reason:
        row.attempts, row.started_at = row.attempts - 1, None
        _put_off(row, str(reason))
        if night.age > LATE:
            _alarm(step, row, night)
        return
    except FoundWrongError as found:
        row.state, row.error = State.FAILED, str(found)
    except Exception as error:
        log.exception("a nightly step fails", night=str(night.date), step=step.name)
        row.state, row.error = State.FAILED, f"{type(error).__name__}: {str(error)[:1000]}"
        _alarm(step, row, night)
    else:
        row.state = State.DONE
        log.info("nightly step done", night=str(night.date), step=step.name, result=row.result)
    row.finished_at = night.clock()
    row.save()


def _put_off(row: NightlyStep, reason: str) -> None:
    row.state, row.error = State.WAITING, reason
    row.save()


def _alarm(step: Step, row: NightlyStep, night: Night) -> None:
    detail = (
        f"The night of {night.date}: {row.error} It is tried again within the hour, and on Staff → Nightly."
        " docs/operating.md says what to do."
    )
    alarm.raise_alarm("nightly_fails", step.name, detail, now=night.clock())


def _note(run: NightlyRun, done: int, total: int) -> None:
    # Not in the database, which the proofs read as it was when they began.
    cache.set(f"nightly:{run.pk}", (done, total), 3600)
