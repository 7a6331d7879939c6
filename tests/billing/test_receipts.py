"""A receipt's lines, times its multipliers, are exactly its charge before one rounding."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import ApiKey, Organization
from billing import posting
from billing.meters import METERS
from billing.models import LedgerTransaction, Outcome, UsageEvent
from billing.partitions import ensure_partitions
from billing.rating import NOT_CHARGED, charge
from billing.receipts import Line, Receipt, receipt
from billing.tariff import Tariff, UnitPrice
from catalog.models import Model
from tests.cast import make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def key() -> ApiKey:
    return make_key(make_organization())[0]


def posted(key: ApiKey, model: Model, **fields: Any) -> Receipt:
    ensure_partitions(datetime.now(UTC).date())
    line = usage_line(key, model.public_id, **fields)
    posting.post_segment(make_segment(raw(line)).pk, now=datetime.now(UTC))
    return receipt(key.organization, UUID(line["id"]))


def test_lines_add_up_to_the_charge_before_rounding(key: ApiKey) -> None:
    thirds = {"input_tokens": (1, 3), "output_tokens": (1_000_000_007, 7)}
    found = posted(key, make_model(prices=thirds), usage={"input_tokens": 2, "reasoning_tokens": 5})
    assert [(line.meter, line.falls_back) for line in found.lines] == [
        ("input_tokens", False),
        ("reasoning_tokens", True),
    ]
    assert found.exact_nanos == Fraction(2, 3) + Fraction(5 * 1_000_000_007, 7)
    assert found.event.charge_nanos == found.exact_nanos + found.rounding_nanos
    assert abs(found.rounding_nanos) <= Fraction(1, 2)


def test_the_ledger_transaction_is_the_one_that_moved_the_money(key: ApiKey) -> None:
    found = posted(key, make_model())
    assert found.transaction == LedgerTransaction.objects.get(kind="usage")
    assert -sum(entry.amount_nanos for entry in found.transaction.entries.filter(organization=key.organization)) == (
        found.event.charge_nanos
    )


def test_another_segment_s_transaction_is_not_taken_for_it(key: ApiKey) -> None:
    model = make_model()
    first, second = posted(key, model), posted(key, model)
    assert first.transaction
    assert second.transaction
    assert first.transaction != second.transaction


@pytest.mark.parametrize("outcome", Outcome.values)
def test_every_outcome_has_a_receipt_that_adds_up(key: ApiKey, outcome: str) -> None:
    found = posted(key, make_model(), outcome=outcome)
    assert found.priced == (outcome not in NOT_CHARGED)
    assert found.event.charge_nanos == found.exact_nanos + found.rounding_nanos
    assert (found.transaction is None) == (outcome in NOT_CHARGED)
    assert found.event.reason


def test_requests_are_a_line_only_where_they_have_a_price(key: ApiKey) -> None:
    used = {"input_tokens": 1, "requests": 1}
    free = posted(key, make_model("free"), usage=used)
    assert [line.meter for line in free.lines] == ["input_tokens"]
    priced = posted(key, make_model("priced", prices={"input_tokens": (1, 1), "requests": (10, 1)}), usage=used)
    assert [line.meter for line in priced.lines] == ["input_tokens", "requests"]
    assert priced.exact_nanos == 11


def test_an_outsider_s_request_is_not_there(key: ApiKey) -> None:
    found = posted(key, make_model())
    other: Organization = make_organization("Elsewhere")
    with pytest.raises(UsageEvent.DoesNotExist):
        receipt(other, found.event.id)


prices = st.dictionaries(
    st.sampled_from(METERS), st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)), min_size=1, max_size=4
)


@given(prices, st.integers(0, 10**7), st.lists(st.integers(1, 20_000), max_size=3))
def test_lines_and_multipliers_give_the_charge_that_rating_gives(
    priced: dict[str, tuple[int, int]], units: int, multipliers: list[int]
) -> None:
    usage = dict.fromkeys(priced, units)
    event = UsageEvent(outcome="completed", multipliers=multipliers, usage=usage)
    event.charge_nanos = charge(usage, Tariff(1, priced), multipliers)
    lines = [Line(meter, units, UnitPrice(meter, amount, per)) for meter, (amount, per) in priced.items()]
    found = Receipt(event, None, lines, None, [])
    assert -Fraction(1, 2) < found.rounding_nanos <= Fraction(1, 2)
