"""Statements close and chain, exactly, whatever comes late, and each is drawn once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import ApiKey, Organization
from accounts.models.audit import AuditEntry
from billing import adjustments, expiry
from billing.correcting import correct
from billing.correction_rules import one_event, otherwise, void
from billing.models import Balance, Statement, StatementLine, UsageEvent
from billing.statements import drawing
from tests.billing.statements.conftest import (
    AFTER_FEBRUARY,
    AFTER_JANUARY,
    AT,
    CHARGE,
    FEBRUARY,
    JANUARY,
    close_days,
    post,
    told,
)
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_user


def draw(organization: Organization, through: date = JANUARY, now: datetime = AFTER_JANUARY) -> Statement:
    statement = drawing.draw(organization, through, now=now)
    connection.check_constraints()
    return statement


@pytest.fixture
def january(key: ApiKey) -> Statement:
    close_days(date(2026, 1, 29), JANUARY)
    return draw(key.organization)


@pytest.mark.django_db
class TestOneStatement:
    def test_it_says_what_came_in_and_what_was_used(self, key: ApiKey, january: Statement) -> None:
        assert told(list(january.lines.all())) == [
            ("grant", "Promotion", DOLLAR),
            ("usage", "demo-chat", -2 * CHARGE),
        ]
        assert (january.number, january.opening_nanos, january.closing_nanos) == (1, 0, DOLLAR - 2 * CHARGE)
        assert (january.first_day, january.through) == (date(2026, 1, 20), JANUARY)
        used = january.lines.get(section="usage")
        assert (used.api_key, used.key_name, used.events) == (key.public_id, key.name, 2)
        assert (used.input_tokens, used.output_tokens) == (2000, 200)

    def test_usage_is_by_model_and_key(self, key: ApiKey) -> None:
        make_model("other")
        second, _ = make_key(key.organization, name="Another")
        post(second, AT)
        post(second, AT + timedelta(days=1), model="other", number=3)
        close_days(date(2026, 1, 29), JANUARY)
        lines = draw(key.organization).lines.filter(section="usage")
        assert [(line.model, line.key_name, line.events) for line in lines] == [
            ("demo-chat", "Another", 1),
            ("demo-chat", "Key", 2),
            ("other", "Another", 3),
        ]

    def test_everything_that_moves_money_is_on_it(self, key: ApiKey) -> None:
        organization, staff = key.organization, make_user("staff@example.com", is_staff=True)
        give_credit(organization, DOLLAR // 2, key="short", expires_at=AT + timedelta(hours=1), now=AT)
        expiry.expire_grants(AT + timedelta(hours=2))
        adjustments.adjust_balance(organization, -7, reason="Goodwill undone", actor=staff, now=AT, operation_id="a")
        event = UsageEvent.objects.order_by("id").first()
        assert event
        fix = {"what": "x", "reason": "Counted twice", "actor": None, "clock": lambda: AT + timedelta(hours=3)}
        correct(one_event(event.pk), void, **fix)  # type: ignore[arg-type]
        close_days(date(2026, 1, 29), JANUARY)
        statement = draw(organization)
        sections = [line.section for line in statement.lines.all()]
        assert sections == ["grant", "grant", "usage", "correction", "adjustment", "expiry"]
        assert statement.lines.get(section="correction").amount_nanos == CHARGE
        assert statement.closing_nanos == Balance.objects.get(organization=organization).nanos

    def test_what_comes_after_its_last_day_is_not_on_it(self, key: ApiKey) -> None:
        give_credit(key.organization, 5, key="february", now=AFTER_JANUARY)
        post(key, AFTER_JANUARY)
        close_days(date(2026, 1, 29), JANUARY)
        assert draw(key.organization).closing_nanos == DOLLAR - 2 * CHARGE

    def test_who_had_nothing_gets_none(self, partitions: None) -> None:
        close_days(date(2026, 1, 29), JANUARY)
        with pytest.raises(drawing.NothingNewError, match="neither activity nor a balance"):
            draw(make_organization())

    def test_a_day_that_is_not_closed_is_not_stated(self, key: ApiKey) -> None:
        with pytest.raises(drawing.NotClosedError, match="2026-01-29 isn't closed"):
            draw(key.organization)
        close_days(date(2026, 1, 29), date(2026, 2, 4))
        with pytest.raises(drawing.NotClosedError, match="2026-01-31 isn't closed"):
            draw(key.organization, now=datetime(2026, 1, 31, 23, tzinfo=UTC))

    def test_asked_for_by_somebody_it_is_on_the_audit_trail(self, key: ApiKey) -> None:
        close_days(date(2026, 1, 29), JANUARY)
        person = make_user("owner@example.com")
        statement = drawing.draw(key.organization, JANUARY, now=AFTER_JANUARY, actor=person)
        assert statement.drawn_by == person
        assert AuditEntry.objects.get(action="statement.draw").target == f"{key.organization.public_id} 1"

    def test_sums_that_disagree_with_the_ledger_are_not_stated(self, key: ApiKey, tamper: Callable[..., None]) -> None:
        close_days(date(2026, 1, 29), JANUARY)
        tamper("UPDATE billing_dailyusage SET charge_nanos = charge_nanos + 1")
        with pytest.raises(drawing.DisagreesError, match=str(2 * CHARGE + 1)):
            draw(key.organization)
        assert not Statement.objects.exists()


@pytest.mark.django_db
class TestChain:
    def test_each_opens_with_what_the_one_before_closed_with(self, key: ApiKey, january: Statement) -> None:
        post(key, AFTER_JANUARY, number=3)
        close_days(date(2026, 2, 1), date(2026, 2, 4))
        february = draw(key.organization, FEBRUARY, AFTER_FEBRUARY)
        assert (february.number, february.first_day, february.through) == (2, date(2026, 2, 1), FEBRUARY)
        assert february.opening_nanos == january.closing_nanos
        assert february.closing_nanos == Balance.objects.get(organization=key.organization).nanos

    def test_late_usage_of_a_stated_month_lands_in_the_next(self, key: ApiKey, january: Statement) -> None:
        """Also where it is posted between the last transaction and the drawing of the next."""
        post(key, AT, number=4, now=AFTER_JANUARY + timedelta(hours=1))
        close_days(date(2026, 2, 1), date(2026, 2, 4))
        february = draw(key.organization, FEBRUARY, AFTER_FEBRUARY)
        assert told(list(february.lines.all())) == [("late_usage", str(AT.date()), -4 * CHARGE)]

    def test_a_correction_of_a_stated_month_lands_in_the_next(self, key: ApiKey, january: Statement) -> None:
        event = UsageEvent.objects.order_by("id").first()
        assert event
        less = otherwise(usage={"input_tokens": 500, "output_tokens": 100})
        correct(one_event(event.pk), less, what="x", reason="Half", actor=None, clock=lambda: AFTER_JANUARY)
        close_days(date(2026, 2, 1), date(2026, 2, 4))
        february = draw(key.organization, FEBRUARY, AFTER_FEBRUARY)
        assert told(list(february.lines.all())) == [("correction", "Half", 1_500_000)]

    def test_what_was_posted_before_the_drawing_and_is_of_later_days_is_in_the_next(self, key: ApiKey) -> None:
        """By id it is covered already, by day it isn't."""
        post(key, AFTER_JANUARY, number=2)
        give_credit(key.organization, 5, key="february", now=AFTER_JANUARY)
        post(key, AT, now=AFTER_JANUARY + timedelta(minutes=1))
        close_days(date(2026, 1, 29), date(2026, 2, 4))
        january = draw(key.organization)
        assert january.closing_nanos == DOLLAR - 3 * CHARGE
        february = draw(key.organization, FEBRUARY, AFTER_FEBRUARY)
        assert [amount for _, _, amount in told(list(february.lines.all()))] == [5, -2 * CHARGE]
        assert february.closing_nanos == Balance.objects.get(organization=key.organization).nanos

    def test_a_month_without_activity_is_stated_where_there_is_a_balance(self, key: ApiKey, january: Statement) -> None:
        close_days(date(2026, 2, 1), date(2026, 2, 4))
        february = draw(key.organization, FEBRUARY, AFTER_FEBRUARY)
        assert (february.line_count, february.closing_nanos) == (0, january.closing_nanos)

    def test_days_are_stated_once(self, key: ApiKey, january: Statement) -> None:
        with pytest.raises(drawing.NothingNewError, match="goes through 2026-01-31 already"):
            draw(key.organization)

    def test_organizations_are_numbered_apart(self, key: ApiKey, january: Statement) -> None:
        other = make_organization("Other", now=AT)
        give_credit(other, 1, now=AT)
        assert draw(other).number == 1


@pytest.mark.django_db
class TestTheDatabaseRefuses:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE billing_statement SET closing_nanos = 0",
            "DELETE FROM billing_statement",
            "UPDATE billing_statementline SET amount_nanos = amount_nanos + 1",
            "DELETE FROM billing_statementline",
        ],
    )
    def test_changes_of_what_is_drawn(self, january: Statement, change: str) -> None:
        with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(change)

    def test_another_line(self, january: Statement) -> None:
        with pytest.raises(IntegrityError, match="is drawn"), transaction.atomic():
            StatementLine.objects.create(statement=january, place=99, section="usage", amount_nanos=0)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"closing_nanos": 1}, "0 of 0 lines"),
            ({"line_count": 1}, "0 of 1 lines"),
            ({"opening_nanos": 5, "closing_nanos": 5}, "does not follow"),
            ({"number": 3}, "does not follow"),
            ({"first_day": date(2026, 2, 2)}, "does not follow"),
            ({"last_transaction": 0}, "does not follow"),
        ],
    )
    def test_a_statement_that_does_not_close_or_follow(
        self, january: Statement, wrong: dict[str, Any], words: str
    ) -> None:
        fields = {
            "organization": january.organization,
            "number": 2,
            "first_day": date(2026, 2, 1),
            "through": FEBRUARY,
            "last_transaction": january.last_transaction,
            "open_from": january.open_from,
            "opening_nanos": january.closing_nanos,
            "closing_nanos": january.closing_nanos,
            "line_count": 0,
            "drawn_at": AFTER_FEBRUARY,
        }
        if "closing_nanos" in wrong and "opening_nanos" not in wrong:
            wrong = {"closing_nanos": january.closing_nanos + 1}
        with pytest.raises(IntegrityError, match=words), transaction.atomic():
            Statement.objects.create(**{**fields, **wrong})
            connection.check_constraints()


@pytest.mark.django_db(transaction=True)
def test_two_that_draw_at_once_draw_one(key: ApiKey) -> None:
    """Lago 5523: an invoice was finalised twice."""
    close_days(date(2026, 1, 29), JANUARY)
    together, refused = Barrier(4), []

    def work() -> None:
        together.wait(30)
        try:
            drawing.draw(key.organization, JANUARY, now=AFTER_JANUARY)
        except drawing.NothingNewError as error:
            refused.append(str(error))
        finally:
            connection.close()

    crowd = [Thread(target=work) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(60)
    assert len(refused) == 3
    assert Statement.objects.get().lines.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_posting_in_flight_is_not_lost_between_two_statements(key: ApiKey) -> None:
    """Its id is taken already, and it commits after the statement was drawn: drawing waits for it."""
    close_days(date(2026, 1, 29), JANUARY)
    drawn: list[Statement] = []

    def work() -> None:
        drawn.append(drawing.draw(key.organization, JANUARY, now=AFTER_JANUARY))
        connection.close()

    thread = Thread(target=work)
    with transaction.atomic():
        give_credit(key.organization, 42, key="late", now=AT)
        thread.start()
        while not _somebody_waits():
            assert thread.is_alive()
        assert not drawn
    thread.join(30)
    assert drawn[0].closing_nanos == DOLLAR - 2 * CHARGE + 42


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
