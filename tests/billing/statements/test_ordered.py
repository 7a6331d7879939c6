"""A statement that was asked for is drawn once by a worker, whatever becomes of that worker."""

from collections.abc import Callable
from datetime import date, timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection

from accounts.models import Alarm, ApiKey, User
from billing.models import ProofRun, Statement, StatementOrder
from billing.statements import asking, drawing, ordered
from tests.billing.statements.conftest import AFTER_JANUARY, JANUARY, close_days
from tests.cast import make_organization, make_user

LATER = AFTER_JANUARY + timedelta(minutes=11)


@pytest.fixture
def person(db: None) -> User:
    return make_user("owner@example.com")


@pytest.fixture
def _proved(db: None) -> None:
    at = AFTER_JANUARY
    ProofRun.objects.create(asked_at=at, started_at=at, finished_at=at, ok=True)


@pytest.fixture
def order(key: ApiKey, person: User, _proved: None) -> StatementOrder:
    close_days(date(2026, 1, 29), JANUARY)
    return asking.ask(key.organization, now=AFTER_JANUARY, actor=person)


def carry_out(order: StatementOrder) -> StatementOrder:
    ordered.carry_out(order.pk, lambda: AFTER_JANUARY)
    connection.check_constraints()
    order.refresh_from_db()
    return order


@pytest.mark.django_db
def test_it_is_drawn_for_whoever_asked(order: StatementOrder, person: User) -> None:
    assert (order.through, order.is_finished) == (JANUARY, False)
    statement = carry_out(order).statement
    assert statement == Statement.objects.get()
    assert (statement.drawn_by, statement.through) == (person, JANUARY)
    assert order.finished_at == AFTER_JANUARY


@pytest.mark.django_db
def test_asked_for_twice_it_is_one_order(order: StatementOrder, person: User) -> None:
    assert asking.ask(order.organization, now=AFTER_JANUARY, actor=person) == order
    carry_out(order)
    with pytest.raises(drawing.NothingNewError):
        asking.ask(order.organization, now=AFTER_JANUARY, actor=person)


@pytest.mark.django_db
def test_carried_out_twice_it_is_drawn_once(order: StatementOrder) -> None:
    carry_out(order)
    ordered.carry_out(order.pk, lambda: LATER)
    order.refresh_from_db()
    assert order.finished_at == AFTER_JANUARY
    assert Statement.objects.count() == 1


@pytest.mark.django_db
def test_a_worker_killed_after_drawing_leaves_one_statement(order: StatementOrder) -> None:
    statement = drawing.draw(order.organization, JANUARY, now=AFTER_JANUARY, actor=order.asked_by)
    assert carry_out(order).statement == statement


@pytest.mark.django_db
def test_what_nobody_is_at_is_found_again(order: StatementOrder) -> None:
    assert ordered.waiting(AFTER_JANUARY + timedelta(seconds=59)) == []
    assert ordered.waiting(AFTER_JANUARY + timedelta(seconds=61)) == [order.pk]
    StatementOrder.objects.update(started_at=AFTER_JANUARY)
    assert ordered.waiting(AFTER_JANUARY + timedelta(minutes=9)) == []
    assert ordered.waiting(LATER) == [order.pk]
    carry_out(order)
    assert ordered.waiting(LATER) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("_proved", "partitions")
def test_who_had_nothing_is_told_so(person: User) -> None:
    close_days(date(2026, 1, 29), JANUARY)
    order = carry_out(asking.ask(make_organization(), now=AFTER_JANUARY, actor=person))
    assert (order.statement, order.complaint) == (None, "There was neither activity nor a balance.")


@pytest.mark.django_db
def test_where_the_books_disagree_staff_are_told(order: StatementOrder, tamper: Callable[..., None]) -> None:
    tamper("UPDATE billing_dailyusage SET charge_nanos = charge_nanos + 1")
    assert "don't add up" in carry_out(order).complaint
    assert not Statement.objects.exists()
    assert Alarm.objects.get(kind="statement_fails").subject == order.organization.public_id


@pytest.mark.django_db(transaction=True)
def test_two_workers_draw_one(order: StatementOrder) -> None:
    together = Barrier(2)

    def work() -> None:
        together.wait()
        ordered.carry_out(order.pk, lambda: AFTER_JANUARY)
        connection.close()

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order.refresh_from_db()
    assert order.statement == Statement.objects.get()
