"""The numbers of docs/plans.md, and what holds of any."""

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.periods import following
from billing.plans.proration import Paid, Rest, rest
from website import money

DOCS = (Path(__file__).parents[3] / "docs" / "plans.md").read_text()
START = datetime(2027, 3, 1, tzinfo=UTC)
DAYS_30 = timedelta(days=30)


@pytest.fixture(autouse=True)
def _books_are_right() -> None:
    """None here."""


def rows(head: str) -> list[list[str]]:
    """The cells of the table that has such a head."""
    table = DOCS.split(f"| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_examples_of_periods() -> None:
    found = rows("chosen")
    assert len(found) == 3
    for chosen, period, then in found:
        moment = first = datetime.fromisoformat(f"{chosen}T09:30:00+00:00")
        for expected in then.split(", "):
            moment = following(moment, period, first.day)
            assert f"{moment:%Y-%m-%d %H:%M}" == f"{expected} 09:30"


def test_the_examples_of_changes() -> None:
    found = rows("fee")
    assert len(found) == 6
    for fee, included, used, passed, back, kept, taken in found:
        assert re.fullmatch(r"\d+/\d+", passed)
        paid = Paid(
            starts_at=START,
            ends_at=START + DAYS_30,
            fee_nanos=money.parse(fee),
            credit_nanos=money.parse(included),
            used_nanos=money.parse(used),
        )
        share = Fraction(passed)
        at = START + DAYS_30 * share.numerator / share.denominator
        assert rest(paid, at) == Rest(
            refund_nanos=money.parse(back), kept_nanos=money.parse(kept), taken_back_nanos=money.parse(taken)
        )


nanos = st.integers(0, 10**15)
times = st.timedeltas(timedelta(0), 2 * DAYS_30)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))


@given(fee=nanos, credit=nanos, share=st.fractions(0, 1), passed=times, starts=moments)
def test_of_any_period_all_is_accounted_for(
    fee: int, credit: int, share: Fraction, passed: timedelta, starts: datetime
) -> None:
    used = int(credit * share)
    ends = starts + DAYS_30
    paid = Paid(starts_at=starts, ends_at=ends, fee_nanos=fee, credit_nanos=credit, used_nanos=used)
    at = starts + passed
    found = rest(paid, at)
    assert used + found.kept_nanos + found.taken_back_nanos == credit
    assert min(found.refund_nanos, found.kept_nanos, found.taken_back_nanos) >= 0
    assert found.refund_nanos <= fee
    # Who waits gets less back of the fee and keeps more of the credit.
    later = rest(paid, at + timedelta(days=1))
    assert later.kept_nanos >= found.kept_nanos
    if used == 0:
        assert later.refund_nanos <= found.refund_nanos
    if at >= ends:
        assert (found.refund_nanos, found.taken_back_nanos) == (0, 0)


@given(starts=moments, period=st.sampled_from(["month", "year"]), count=st.integers(1, 60))
def test_any_periods_follow_without_gaps_and_come_back_to_their_day(starts: datetime, period: str, count: int) -> None:
    moment = starts
    for _ in range(count):
        before, moment = moment, following(moment, period, starts.day)
        assert before < moment <= before + timedelta(days=31 if period == "month" else 366)
        assert moment.timetz() == starts.timetz()
        day_after = moment + timedelta(days=1)
        assert moment.day == starts.day or (moment.day < starts.day and day_after.day == 1)
