"""Statements that were asked for, drawn by a worker: each order ends with a statement, or with why there is none."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Q

from billing.models import Statement, StatementOrder
from billing.statements import disagreeing
from billing.statements.drawing import DisagreesError, DrawingError, NothingNewError, draw

# What was asked for and hasn't begun after this had its message lost.
FORGOTTEN = timedelta(minutes=1)
# One that has taken so long was killed. Drawn twice, it is drawn once.
STALE = timedelta(minutes=10)


def carry_out(order_id: int, clock: Callable[[], datetime]) -> None:
    """Draw what was asked for, unless that is done."""
    unfinished = StatementOrder.objects.filter(pk=order_id, finished_at=None)
    order = unfinished.select_related("organization", "asked_by").first()
    if order is None:
        return
    unfinished.update(started_at=clock())
    statement, complaint = _drawn(order, clock)
    unfinished.update(statement=statement, complaint=complaint[:300], finished_at=clock())


def waiting(now: datetime) -> list[int]:
    """Orders that nobody carries out."""
    lost = Q(started_at=None, asked_at__lt=now - FORGOTTEN) | Q(started_at__lt=now - STALE)
    return list(StatementOrder.objects.filter(lost, finished_at=None).order_by("pk").values_list("pk", flat=True))


def _drawn(order: StatementOrder, clock: Callable[[], datetime]) -> tuple[Statement | None, str]:
    """The statement, or why there is none."""
    try:
        return draw(order.organization, order.through, now=clock(), actor=order.asked_by), ""
    except NothingNewError as error:
        # Drawn by a worker that was killed before it said so, or by the night.
        drawn = Statement.objects.filter(organization=order.organization, through=order.through).first()
        return drawn, "" if drawn else str(error)
    except DisagreesError as error:
        disagreeing.tell(order.organization, error, clock())
        return None, "Your usage and your balance don't add up, so none was drawn. We know of it and look into it."
    except DrawingError as error:
        return None, str(error)
