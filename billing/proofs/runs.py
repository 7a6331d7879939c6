"""Runs of the proofs: a row each, with what they found, and an alarm for each proof that is red."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Q

from accounts.models import alarm
from billing.models import NightlyRun, ProofResult, ProofRun
from billing.proofs import PROOFS
from billing.proofs.proving import Result, prove
from billing.proofs.shape import Proof
from hotstate import holds
from hotstate.errors import Unreachable

# A run that has taken so long was killed, and is carried out by whoever finds it.
STALE = timedelta(hours=1)
# What was asked for and hasn't begun after this had its message lost.
FORGOTTEN = timedelta(minutes=1)
# A night's run is done within two hours of the last one's time of day, or something is wrong with the nights.
OVERDUE = timedelta(hours=26)


def carry_out(run_id: int, clock: Callable[[], datetime]) -> ProofRun | None:
    """Prove what a run asks for. None where that is done, or another process is at it."""
    now = clock()
    free = ProofRun.objects.filter(Q(started_at=None) | Q(started_at__lt=now - STALE), pk=run_id, finished_at=None)
    if not free.update(started_at=now):
        return None
    return _carry_out(ProofRun.objects.get(pk=run_id), clock)


def by_night(
    night: date, clock: Callable[[], datetime], *, told: Callable[[int, int], None] = lambda _done, _total: None
) -> ProofRun:
    """Prove everything for a night; again where that was done already. The caller has the nights to itself.

    A night that is over by now takes what a later one found, where that was green.
    """
    later = ProofRun.objects.filter(night__gt=night, ok=True).order_by("-night").first()
    if later is not None:
        return later
    run, _ = ProofRun.objects.get_or_create(night=night, defaults={"asked_at": clock()})
    run.started_at, run.finished_at, run.ok = clock(), None, None
    run.save()
    return _carry_out(run, clock, told)


def _carry_out(
    run: ProofRun, clock: Callable[[], datetime], told: Callable[[int, int], None] = lambda _done, _total: None
) -> ProofRun:
    def note(proof: Proof) -> None:
        _note(run, proof)
        told(PROOFS.index(proof), len(PROOFS))

    results = prove(clock(), day=run.day, told=note)
    with transaction.atomic():
        run.results.all().delete()
        ProofResult.objects.bulk_create(
            ProofResult(run=run, name=it.name, ok=it.ok, checked=it.checked, offender=it.offender) for it in results
        )
        run.ok, run.finished_at, run.lapsed_holds = all(it.ok for it in results), clock(), lapsed()
        run.save()
        for result in results:
            if not result.ok:
                _alarm(result, run, clock())
    return run


def waiting(now: datetime) -> list[int]:
    """Runs that somebody asked for and nobody carries out; those of nights are found by the nights."""
    lost = Q(started_at=None, asked_at__lt=now - FORGOTTEN) | Q(started_at__lt=now - STALE)
    asked = ProofRun.objects.filter(lost, finished_at=None, night=None)
    return list(asked.order_by("id").values_list("pk", flat=True))


def watch(now: datetime) -> None:
    """An alarm where no run that proved everything has ended for OVERDUE, since there are nights."""
    last = newest()
    first_night = NightlyRun.objects.order_by("night").first()
    since = last.finished_at if last else first_night.started_at if first_night else None
    if since is not None and since < now - OVERDUE:
        told = f"No run has ended since {since:%Y-%m-%d %H:%M} UTC" if last else "No run has ever ended"
        detail = f"{told}. Look at Staff → Nightly, the workers and beat, and ask for a run on Staff → Books."
        alarm.raise_alarm("books_unproved", "proofs", detail, now=now)


def newest() -> ProofRun | None:
    """The last run that everything was proved by."""
    return ProofRun.objects.filter(day=None).exclude(finished_at=None).order_by(F("finished_at").desc()).first()


def progress(run: ProofRun) -> tuple[int, int]:
    """Which proof a run is at, and how many there are."""
    return cache.get(f"proofs:{run.pk}", 0), len(PROOFS)


def _note(run: ProofRun, proof: Proof) -> None:
    # Not in the database, which the proofs read as it was when they began.
    cache.set(f"proofs:{run.pk}", PROOFS.index(proof) + 1, 3600)


def lapsed() -> int | None:
    """How many holds have lapsed since Valkey counts; None where it can't be asked."""
    try:
        return holds.lapsed_in_all()
    except Unreachable:
        return None


def _alarm(result: Result, run: ProofRun, now: datetime) -> None:
    detail = f"{result.offender}. Found by run {run.pk}, on Staff → Books; docs/operating.md says what to do."
    alarm.raise_alarm("books_wrong", result.name, detail, now=now)
