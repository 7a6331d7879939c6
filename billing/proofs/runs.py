"""Runs of the proofs: a row each, with what they found, and an alarm for each proof that is red."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Q

from accounts.models import alarm
from billing.models import ClosedDay, ProofResult, ProofRun
from billing.proofs import PROOFS
from billing.proofs.proving import Result, prove
from billing.proofs.shape import Proof
from hotstate import holds
from hotstate.errors import Unreachable

# A run that has taken so long was killed, and is carried out by whoever finds it.
STALE = timedelta(hours=1)
# What was asked for and hasn't begun after this had its message lost.
FORGOTTEN = timedelta(minutes=1)


def carry_out(run_id: int, clock: Callable[[], datetime]) -> ProofRun | None:
    """Prove what a run asks for. None where that is done, or another process is at it."""
    now = clock()
    free = ProofRun.objects.filter(Q(started_at=None) | Q(started_at__lt=now - STALE), pk=run_id, finished_at=None)
    if not free.update(started_at=now):
        return None
    run = ProofRun.objects.get(pk=run_id)
    results = prove(now, day=run.day, told=lambda proof: _note(run, proof))
    with transaction.atomic():
        run.results.all().delete()
        ProofResult.objects.bulk_create(
            ProofResult(run=run, name=it.name, ok=it.ok, checked=it.checked, offender=it.offender) for it in results
        )
        run.ok, run.finished_at, run.lapsed_holds = all(it.ok for it in results), clock(), _lapsed()
        run.save()
        for result in results:
            if not result.ok:
                _alarm(result, run, clock())
    return run


def waiting(now: datetime) -> list[int]:
    """Runs that nobody carries out, though somebody should."""
    lost = Q(started_at=None, asked_at__lt=now - FORGOTTEN) | Q(started_at__lt=now - STALE)
    return list(ProofRun.objects.filter(lost, finished_at=None).order_by("id").values_list("pk", flat=True))


def nightly(now: datetime) -> ProofRun | None:
    """The run of this night, once the day before is closed. None where it isn't, or the run is done."""
    if not ClosedDay.objects.filter(day=now.date() - timedelta(days=1)).exclude(closed_at=None).exists():
        return None
    run, _ = ProofRun.objects.get_or_create(night=now.date(), defaults={"asked_at": now})
    return None if run.finished_at else run


def newest() -> ProofRun | None:
    """The last run that everything was proved by."""
    return ProofRun.objects.filter(day=None).exclude(finished_at=None).order_by(F("finished_at").desc()).first()


def progress(run: ProofRun) -> tuple[int, int]:
    """Which proof a run is at, and how many there are."""
    return cache.get(f"proofs:{run.pk}", 0), len(PROOFS)


def _note(run: ProofRun, proof: Proof) -> None:
    # Not in the database, which the proofs read as it was when they began.
    cache.set(f"proofs:{run.pk}", PROOFS.index(proof) + 1, 3600)


def _lapsed() -> int | None:
    try:
        return holds.lapsed_in_all()
    except Unreachable:
        return None


def _alarm(result: Result, run: ProofRun, now: datetime) -> None:
    detail = f"{result.offender}. Found by run {run.pk}, on Staff → Books; docs/operating.md says what to do."
    alarm.raise_alarm("books_wrong", result.name, detail, now=now)
