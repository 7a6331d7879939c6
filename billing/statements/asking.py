"""Statements on demand: through the last closed day, on green proofs. A worker draws them."""

from datetime import date, datetime, timedelta

from django.db import IntegrityError, transaction

from accounts.models import Organization, User
from billing.models import Statement, StatementOrder
from billing.nightly.closing_days import open_days
from billing.proofs import runs
from billing.statements.drawing import DrawingError, NothingNewError
from billing.tasks import draw_statement
from config import enqueue


class NotProvedError(DrawingError):
    """The newest proofs are red, or there are none yet."""


def last_closed_day(now: datetime) -> date:
    """The last day that a statement can end on."""
    waiting = open_days(now.date())
    return (waiting[0] if waiting else now.date()) - timedelta(days=1)


def ask(organization: Organization, *, now: datetime, actor: User) -> StatementOrder:
    """Have one drawn, or the one that waits or is being drawn already. Raises DrawingError, where it is clear that none
    can be."""
    newest = runs.newest()
    if newest is None or not newest.ok:
        raise NotProvedError("Statements are drawn once the books are proved, which they aren't at the moment.")
    through = last_closed_day(now)
    before = Statement.objects.filter(organization=organization).order_by("-number").first()
    if before and before.through >= through:
        raise NothingNewError(f"Statement {before.number} goes through {before.through} already.")
    try:
        with transaction.atomic():
            order = StatementOrder.objects.create(
                organization=organization, through=through, asked_by=actor, asked_at=now
            )
            enqueue.after_commit(draw_statement, order.pk)
    except IntegrityError:
        # One at a time of an organization, says a constraint.
        return StatementOrder.objects.filter(organization=organization).latest("pk")
    return order
