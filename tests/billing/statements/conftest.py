"""An organization over two months, with something of everything on its statements."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from accounts.models import ApiKey, Organization
from billing.closing import close_day
from billing.models import LedgerTransaction, StatementLine, UsageEvent
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from tests.billing.proofs.conftest import tamper
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

__all__ = ["tamper"]

JANUARY = date(2026, 1, 31)
FEBRUARY = date(2026, 2, 28)
AT = datetime(2026, 1, 30, 12, tzinfo=UTC)
AFTER_JANUARY = datetime(2026, 2, 1, 2, tzinfo=UTC)
AFTER_FEBRUARY = datetime(2026, 3, 1, 2, tzinfo=UTC)
CHARGE = 4_500_000
"""Of a request of `usage_line`, nano-dollars."""


def post(key: ApiKey, at: datetime, *, number: int = 1, now: datetime | None = None, model: str = "demo-chat") -> None:
    """Requests of one moment, posted at `now`, or a second later."""
    now = now or at + timedelta(seconds=1)
    first = UsageEvent.objects.count() + 1
    lines = [usage_line(key, model, at=at, seq=first + more) for more in range(number)]
    assert post_segment(make_segment(raw(*lines), now=now).pk, now=now)


def close_days(first: date, through: date) -> None:
    for number in range((through - first).days + 1):
        day = first + timedelta(days=number)
        close_day(day, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=1))


def told(lines: "list[StatementLine]") -> list[tuple[str, str, int]]:
    """Section, what it is of, and nano-dollars."""
    return [(line.section, line.model or line.text or str(line.day), line.amount_nanos) for line in lines]


@pytest.fixture
def partitions(db: None) -> None:
    """The last days of January and the first of February; those of all other days are empty."""
    ensure_partitions(date(2026, 1, 29), behind=0, ahead=6)


@pytest.fixture
def organization(partitions: None) -> Organization:
    make_model()
    return make_organization(now=AT - timedelta(days=10))


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    """Its key, and $1 of credit, and two requests in January."""
    give_credit(organization, DOLLAR, now=AT - timedelta(days=3))
    key, _ = make_key(organization)
    post(key, AT, number=2)
    return key


@pytest.fixture
def deferred() -> Callable[[], None]:
    """Let the database check now what it checks at a commit."""
    return connection.check_constraints


def transactions() -> int:
    return LedgerTransaction.objects.count()
