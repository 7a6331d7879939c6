"""The statements of a night: of the month before, each organization's in a transaction of its own, on green proofs."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from accounts.models import Alarm, ApiKey
from billing.models import NightlyStep, Statement
from billing.nightly import running
from billing.statements import drawing, monthly
from hotstate.models import OutboxEntry
from tests.billing.statements.conftest import AFTER_FEBRUARY, AFTER_JANUARY, AT, FEBRUARY, JANUARY, close_days
from tests.cast import give_credit, make_organization


def clock() -> Any:
    return AFTER_JANUARY


@pytest.fixture
def others(key: ApiKey) -> None:
    """Two more with a balance, and one that never had anything."""
    for name in ("Second", "Third"):
        give_credit(make_organization(name, now=AT), 5, now=AT)
    make_organization("Nothing", now=AT)
    close_days(date(2026, 1, 29), JANUARY)


@pytest.mark.parametrize(
    ("night", "through"),
    [
        (date(2026, 2, 1), JANUARY),
        (date(2026, 2, 28), JANUARY),
        (date(2026, 3, 1), FEBRUARY),
        (date(2028, 3, 1), date(2028, 2, 29)),
        (date(2026, 1, 1), date(2025, 12, 31)),
    ],
)
def test_a_night_states_the_last_month_that_is_over(night: date, through: date) -> None:
    assert monthly.month_before(night) == through


@pytest.mark.django_db
def test_everyone_with_activity_or_a_balance_gets_one_once(others: None) -> None:
    assert monthly.draw_due(JANUARY, clock=clock) == (3, [])
    assert monthly.draw_due(JANUARY, clock=clock) == (0, [])
    assert list(Statement.objects.values_list("organization__name", "number").order_by("organization")) == [
        ("Acme", 1),
        ("Second", 1),
        ("Third", 1),
    ]


@pytest.mark.django_db
def test_killed_half_way_and_run_again_it_draws_the_others(others: None, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = drawing.draw

    def killed_at_the_second(*args: Any, **kwargs: Any) -> Statement:
        if Statement.objects.exists():
            raise KeyboardInterrupt
        return draw(*args, **kwargs)

    monkeypatch.setattr(monthly, "draw", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        monthly.draw_due(JANUARY, clock=clock)
    monkeypatch.undo()
    assert monthly.draw_due(JANUARY, clock=clock) == (2, [])


@pytest.mark.django_db
def test_one_whose_books_disagree_keeps_no_other_from_theirs(others: None, tamper: Callable[..., None]) -> None:
    tamper("UPDATE billing_dailyusage SET charge_nanos = charge_nanos + 1")
    drawn, wrong = monthly.draw_due(JANUARY, clock=clock)
    assert (drawn, len(wrong)) == (2, 1)
    assert Alarm.objects.get(kind="statement_fails").subject == wrong[0]


@pytest.mark.django_db
class TestByNight:
    @pytest.fixture(autouse=True)
    def _books(self, others: None, empty_valkey: Any) -> None:
        OutboxEntry.objects.all().delete()

    def test_the_night_after_a_month_draws_its_statements(self) -> None:
        running.go_on(clock)
        step = NightlyStep.objects.get(name="draw_statements")
        assert (step.state, step.result) == ("done", {"statements": 3, "through": str(JANUARY)})

    def test_red_proofs_draw_none(self, tamper: Callable[..., None]) -> None:
        tamper("UPDATE billing_balance SET credit_nanos = credit_nanos + 1 WHERE credit_nanos > 5")
        running.go_on(clock)
        assert not Statement.objects.exists()
        assert NightlyStep.objects.get(name="draw_statements").error == "Waits for prove."

    def test_after_a_standstill_each_month_gets_its_own(self) -> None:
        running.begin_due(AFTER_JANUARY)
        OutboxEntry.objects.all().delete()
        running.go_on(lambda: AFTER_FEBRUARY + timedelta(hours=6))
        found = Statement.objects.filter(organization__name="Acme").order_by("number")
        assert [(it.number, it.through) for it in found] == [(1, JANUARY), (2, FEBRUARY)]
