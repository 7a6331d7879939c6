"""Books with something of everything in them, and a hand that changes a row behind the database's back."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import ApiKey
from billing import expiry
from billing.closing import close_day
from billing.correcting import correct
from billing.correction_rules import one_event, otherwise
from billing.models import Statement, Subscription, UsageEvent
from billing.partitions import ensure_partitions
from billing.plans.choosing import choose
from billing.posting import post_segment
from billing.proofs.proving import Result, prove
from billing.statements.drawing import draw
from tests.cast import (
    DOLLAR,
    give_credit,
    make_dispute,
    make_key,
    make_model,
    make_organization,
    make_plan,
    make_redemption,
    make_refund,
    make_segment,
    make_top_up,
    raw,
    usage_line,
)

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NEXT_NOON = NOON + timedelta(days=1)


def post(key: ApiKey, *seqs: int, at: datetime = NOON, extra: bytes = b"", **fields: Any) -> None:
    lines = [usage_line(key, at=at, seq=seq, **fields) for seq in seqs]
    assert post_segment(make_segment(raw(*lines) + extra, now=NEXT_NOON).pk, now=NEXT_NOON)


@pytest.fixture(scope="module")
def books(django_db_setup: None, django_db_blocker: Any) -> Iterator[ApiKey]:
    """Made once for the tests of a module, each of which begins with them as they were made.

    All of them see these books, so a test that commits or needs others is in a module of its own.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_books()
        transaction.set_rollback(True)


@pytest.fixture
def key(books: ApiKey, db: None) -> ApiKey:
    """Of an organization with grants, a debt in between, usage on a closed and on an open day, and corrections.

    Another one has a plan.
    """
    return ApiKey.objects.get(pk=books.pk)


def make_books() -> ApiKey:
    ensure_partitions(DAY, behind=0, ahead=1)
    make_model()
    subscribed = make_organization("Subscribed")
    give_credit(subscribed, DOLLAR, now=NOON)
    choose(subscribed, make_plan(fee_nanos=1000, included_credit_nanos=2000, discount_bp=100), actor=None, now=NOON)
    # The command asks the real clock.
    Subscription.objects.update(due_at=datetime(2200, 1, 1, tzinfo=UTC))
    top_up = make_top_up(subscribed, now=NOON)
    make_refund(top_up, now=NOON)
    make_refund(top_up, now=NOON, failed=True)
    make_dispute(top_up, now=NOON)
    make_redemption(subscribed, now=NOON)
    organization = make_organization()
    give_credit(organization, 10_000_000, key="small", expires_at=NOON + timedelta(hours=1), now=NOON)
    key, _ = make_key(organization)
    expiry.expire_grants(NEXT_NOON)
    post(key, 1, 2, 3)
    give_credit(organization, DOLLAR, key="large", now=NEXT_NOON)
    close_day(DAY, NEXT_NOON)
    post(key, 4, 5, extra=b'{"torn')
    post(key, 6, 7, at=NEXT_NOON)
    corrected = UsageEvent.objects.order_by("seq").first()
    assert corrected
    fewer = otherwise(usage={"input_tokens": 500})
    correct(one_event(corrected.pk), fewer, what="x", reason="y", actor=None, clock=lambda: NEXT_NOON)
    connection.check_constraints()
    forget_outbox()
    return key


def forget_outbox() -> None:
    """Deliveries wait for a commit, which these tests never see."""
    from hotstate.models import OutboxEntry

    OutboxEntry.objects.all().delete()


@pytest.fixture
def tamper() -> Callable[..., None]:
    """Run SQL as the table's owner with all triggers off, as somebody with the keys to the database could."""

    def run(sql: str, *parameters: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, parameters)
            assert cursor.rowcount == 1, cursor.rowcount
            cursor.execute("SET LOCAL session_replication_role = DEFAULT")

    return run


def red(now: datetime = NEXT_NOON, day: date | None = None) -> dict[str, Result]:
    """What isn't proved, by name."""
    return {result.name: result for result in prove(now, day=day) if not result.ok}


@pytest.fixture
def statement(key: ApiKey) -> Statement:
    """Of the closed day, with a line for each: credit, usage, late usage, a correction."""
    drawn = draw(key.organization, DAY, now=NEXT_NOON)
    connection.check_constraints()
    assert red() == {}
    return drawn


@pytest.fixture(scope="module")
def right_before(books: ApiKey) -> None:
    assert red() == {}
