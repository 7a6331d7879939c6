"""The statements that a night draws: of the month before, for every organization with activity or a balance."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from django.db import connection

from accounts.models import Organization
from billing.statements import disagreeing
from billing.statements.drawing import DisagreesError, NothingNewError, draw

# Those with something to state: a balance, or a transaction that no statement has.
DUE = """
SELECT balance.organization_id FROM billing_balance AS balance
LEFT JOIN LATERAL (
    SELECT through, open_from, closing_nanos FROM billing_statement
    WHERE organization_id = balance.organization_id ORDER BY number DESC LIMIT 1
) AS newest ON true
WHERE (newest.through IS NULL OR newest.through < %(through)s) AND (newest.closing_nanos <> 0 OR EXISTS (
    SELECT FROM billing_ledgertransaction AS posted
    WHERE posted.organization_id = balance.organization_id AND posted.id >= coalesce(newest.open_from, 0)
        AND posted.event_day <= %(through)s
))
ORDER BY balance.organization_id
"""


def month_before(night: date) -> date:
    """The last day of the last month that is over."""
    return night.replace(day=1) - timedelta(days=1)


def due(through: date) -> list[int]:
    """The organizations, by pk, that want a statement through that day and have none."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"through": through})
        return [pk for (pk,) in cursor.fetchall()]


def draw_due(
    through: date, *, clock: Callable[[], datetime], told: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[int, list[str]]:
    """Draw what is due; return how many, and the organizations (public ids) whose books disagree.

    Each has a transaction of its own, so what was killed is gone on with; one that can't be drawn raises an alarm.
    """
    waiting = due(through)
    drawn, wrong = 0, []
    for number, pk in enumerate(waiting):
        told(number, len(waiting))
        organization = Organization.objects.get(pk=pk)
        try:
            draw(organization, through, now=clock())
        except NothingNewError:
            # Somebody drew it a moment ago.
            continue
        except DisagreesError as error:
            disagreeing.tell(organization, error, clock())
            wrong.append(organization.public_id)
        else:
            drawn += 1
    return drawn, wrong
