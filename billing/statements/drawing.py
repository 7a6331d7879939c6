"""Drawing statements, each once: its lines are written with it, in one transaction, and stay as they are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from accounts.models import Organization, User, audit
from billing import ledger
from billing.models import LedgerTransaction, Statement
from billing.nightly.closing_days import open_days
from billing.payments.billing_details import lines_of
from billing.statements import lines


class DrawingError(ValueError):
    """A statement that can't be drawn; the message says why."""


class NotClosedError(DrawingError):
    """It would end on a day that isn't closed."""


class NothingNewError(DrawingError):
    """All of these days are on an earlier statement, or there never was anything to state."""


class DisagreesError(DrawingError):
    """The daily sums and the ledger don't say the same: the proofs say where."""


@dataclass(frozen=True)
class Period:
    """The transactions that a statement is about to cover: ids and days, both ends included."""

    organization_id: int
    first_day: date
    through: date
    last_transaction: int
    # Of the statement before.
    open_from: int
    stated_through: date
    stated_transaction: int

    @property
    def parameters(self) -> dict[str, Any]:
        return vars(self)


def draw(
    organization: Organization, through: date, *, now: datetime, actor: User | None = None, reason: str = ""
) -> Statement:
    """Draw an organization's next statement, up to the end of a UTC day. Raises DrawingError.

    The balance is locked for a moment only, to know the last transaction; what is covered is fixed then, however much
    is posted meanwhile.
    """
    waiting = open_days(through + timedelta(days=1))
    if waiting or through >= now.date():
        raise NotClosedError(f"{waiting[0] if waiting else through} isn't closed yet.")
    last_transaction = _last_transaction(organization.pk)
    with transaction.atomic():
        _one_at_a_time(organization.pk)
        before = Statement.objects.filter(organization=organization).order_by("-number").first()
        if before and before.through >= through:
            raise NothingNewError(f"Statement {before.number} goes through {before.through} already.")
        period = _period(organization, before, through, last_transaction)
        drawn = lines.stage(period)
        if not drawn.lines and not (before and before.closing_nanos):
            raise NothingNewError("There was neither activity nor a balance.")
        if drawn.sums_nanos != drawn.ledger_nanos:
            raise DisagreesError(
                f"Usage from {period.first_day} through {through} comes to {-drawn.ledger_nanos} nano-dollars in the"
                f" ledger and to {-drawn.sums_nanos} in the daily sums."
            )
        opening = before.closing_nanos if before else 0
        statement = Statement.objects.create(
            organization=organization,
            number=before.number + 1 if before else 1,
            first_day=period.first_day,
            through=through,
            last_transaction=period.last_transaction,
            open_from=_open_from(period),
            opening_nanos=opening,
            closing_nanos=opening + drawn.nanos,
            line_count=drawn.lines,
            billed_to=lines_of(organization),
            drawn_at=now,
            drawn_by=actor,
        )
        lines.write(statement)
        if actor:
            target = f"{organization.public_id} {statement.number}"
            audit.record("statement.draw", target, actor=actor, organization=organization, reason=reason, now=now)
    return statement


def _last_transaction(organization_id: int) -> int:
    """The newest one's id, once everybody who moves money of this organization has committed."""
    with transaction.atomic():
        ledger.lock([organization_id])
        found = LedgerTransaction.objects.filter(organization=organization_id).aggregate(last=Max("id"))
        last: int = found["last"] or 0
        return last


def _one_at_a_time(organization_id: int) -> None:
    """Until the caller's transaction has ended nobody else draws a statement of this organization."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing_statement', %s))", [organization_id])


FIRST_DAY = "SELECT min(event_day) FROM billing_ledgertransaction WHERE organization_id = %s AND id <= %s"


def _period(organization: Organization, before: Statement | None, through: date, last_transaction: int) -> Period:
    if before:
        return Period(
            organization_id=organization.pk,
            first_day=before.through + timedelta(days=1),
            through=through,
            last_transaction=max(last_transaction, before.last_transaction),
            open_from=before.open_from,
            stated_through=before.through,
            stated_transaction=before.last_transaction,
        )
    with connection.cursor() as cursor:
        cursor.execute(FIRST_DAY, [organization.pk, last_transaction])
        oldest: date | None = cursor.fetchone()[0]
    first_day = min(oldest or through, organization.created_at.date(), through)
    return Period(organization.pk, first_day, through, last_transaction, 0, date.min, 0)


OPEN_FROM = """
SELECT min(id) FROM billing_ledgertransaction
WHERE organization_id = %(organization_id)s AND id >= %(open_from)s AND id <= %(last_transaction)s
    AND event_day > %(through)s
"""


def _open_from(period: Period) -> int:
    with connection.cursor() as cursor:
        cursor.execute(OPEN_FROM, period.parameters)
        found: int | None = cursor.fetchone()[0]
    return found or period.last_transaction + 1
