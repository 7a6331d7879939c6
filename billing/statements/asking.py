"""Statements on demand: through the last closed day, on green proofs."""

from datetime import date, datetime, timedelta

from accounts.models import Organization, User
from billing.models import Statement
from billing.nightly.closing_days import open_days
from billing.proofs import runs
from billing.statements.drawing import DrawingError, draw


class NotProvedError(DrawingError):
    """The newest proofs are red, or there are none yet."""


def last_closed_day(now: datetime) -> date:
    """The last day that a statement can end on."""
    waiting = open_days(now.date())
    return (waiting[0] if waiting else now.date()) - timedelta(days=1)


def ask(organization: Organization, *, now: datetime, actor: User) -> Statement:
    """Draw one now. Raises DrawingError, which says why not."""
    newest = runs.newest()
    if newest is None or not newest.ok:
        raise NotProvedError("Statements are drawn once the books are proved, which they aren't at the moment.")
    return draw(organization, last_closed_day(now), now=now, actor=actor)
