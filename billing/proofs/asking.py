"""Asking for a run of the proofs, which a worker carries out."""

from datetime import date, datetime

from django.db import transaction

from accounts.models import User
from billing.models import ProofRun
from billing.tasks import prove_books
from config import enqueue


def ask(now: datetime, *, day: date | None, actor: User) -> ProofRun:
    """A new run, or the one that waits or is under way already, of a night too."""
    with transaction.atomic():
        under_way = ProofRun.objects.filter(day=day, finished_at=None)
        if (of_night := under_way.exclude(night=None).first()) is not None:
            return of_night
        # Of those who ask at once one makes it, says a constraint.
        run, new = under_way.get_or_create(day=day, night=None, defaults={"asked_at": now, "asked_by": actor})
        if new:
            enqueue.after_commit(prove_books, run.pk)
    return run
