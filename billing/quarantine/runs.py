"""All lines of a kind: replayed or discarded by a worker, portion by portion."""

from datetime import datetime
from itertools import accumulate

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length

from accounts.models import User, audit
from billing.models import QuarantinedLine, QuarantineRun
from billing.quarantine.holds import release_holds
from billing.quarantine.looking import Kind
from billing.quarantine.replaying import locked, replay, require_confirmed
from billing.quarantine.rereading import rereader
from billing.tasks import run_quarantine
from config import enqueue

PORTION_LINES = 5_000
PORTION_BYTES = 8 * 1024 * 1024


def start_run(
    kind: Kind,
    action: QuarantineRun.Action,
    *,
    actor: User,
    now: datetime,
    note: str = "",
    foreign_allowed: bool = False,
) -> QuarantineRun | None:
    """Replay or discard all that is of this kind now; None where nothing is, or such a run is under way.

    Raises ConfirmationError.
    """
    if action == QuarantineRun.Action.REPLAY:
        require_confirmed(kind.reason, foreign_allowed=foreign_allowed)
    try:
        with transaction.atomic():
            return _start(kind, action, actor, now, note, foreign_allowed=foreign_allowed)
    except IntegrityError:
        # One run of a kind at a time, says a constraint.
        return None


def _start(
    kind: Kind, action: QuarantineRun.Action, actor: User, now: datetime, note: str, *, foreign_allowed: bool
) -> QuarantineRun | None:
    newest = kind.open().order_by("-pk").first()
    if newest is None:
        return None
    run = QuarantineRun.objects.create(
        action=action,
        reason=kind.reason,
        detail=kind.detail,
        source=kind.source,
        through=newest,
        foreign_allowed=foreign_allowed,
        note=note[:300],
        started_by=actor,
        started_at=now,
        total=kind.open().filter(pk__lte=newest.pk).count(),
    )
    after = {"detail": kind.detail, "source": kind.source, "lines": run.total, "foreign_allowed": foreign_allowed}
    audit.record(f"quarantine.{action}_all", kind.reason, actor=actor, after=after, reason=note, now=now)
    enqueue.after_commit(run_quarantine, run.pk)
    return run


def go_on(run_id: int, now: datetime) -> bool:
    """The next portion of a run; whether there may be another. Two workers at once do it one after the other."""
    with transaction.atomic():
        unfinished = QuarantineRun.objects.select_for_update(skip_locked=True).filter(pk=run_id, finished_at=None)
        run = unfinished.first()
        if run is None:
            return False
        waiting = Kind(run.reason, run.detail, run.source).open().filter(pk__lte=run.through_id)
        if run.action == QuarantineRun.Action.REPLAY:
            waiting = waiting.filter(lines=1)
        portion = _portion(waiting)
        # Locked: a line that somebody replays at this moment must not be discarded too.
        lines = locked(portion)
        if not portion:
            run.finished_at = now
        elif run.action == QuarantineRun.Action.DISCARD:
            release_holds(lines, now)
            QuarantinedLine.objects.filter(pk__in=[line.pk for line in lines]).update(resolved_at=now, note=run.note)
        else:
            reread = rereader()
            replay([(line, reread(line)) for line in lines], now, note=run.note)
        run.done += len(lines)
        run.save(update_fields=["finished_at", "done"])
    return bool(portion)


def _portion(lines: QuerySet[QuarantinedLine]) -> list[int]:
    """The first lines, as many as are held in memory at once."""
    sizes = list(lines.order_by("pk").annotate(size=Length("raw")).values_list("pk", "size")[:PORTION_LINES])
    summed = accumulate(size for _, size in sizes)
    return [pk for (pk, size), total in zip(sizes, summed, strict=True) if total - size < PORTION_BYTES]
