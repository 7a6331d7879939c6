"""Asking for a run of the proofs, which a worker carries out."""

from datetime import date, datetime

from django.db import transaction

from accounts.models import User
from billing.models import ProofRun
from billing.tasks import prove_books
from config import enqueue


def ask(now: datetime, *, day: date | None, actor: User) -> ProofRun:
    """A new run, or the one that waits or is under way already."""
    under_way = ProofRun.objects.filter(day=day, finished_at=None).first()
    if under_way is not None:
        return under_way
    with transaction.atomic():
        run = ProofRun.objects.create(asked_at=now, asked_by=actor, day=day)
        enqueue.after_commit(prove_books, run.pk)
    return run
