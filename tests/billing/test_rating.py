"""Charges are exact and rounded once."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import FALLBACK, METERS
from billing.rating import UnpricedError, charge, outcome_charge, round_half_up
from billing.tariff import Tariff

units = st.integers(0, 10**12)
prices = st.tuples(st.integers(0, 10**12), st.sampled_from([1, 60, 1000, 10**6, 7]))
TARIFF = Tariff(1, {"input_tokens": (3 * 10**9, 10**6), "output_tokens": (15 * 10**9, 10**6)})


def test_the_charge_of_a_request_to_the_nano_dollar() -> None:
    assert charge({"input_tokens": 12, "output_tokens": 34}, TARIFF) == 12 * 3_000 + 34 * 15_000


def test_a_cheap_price_is_not_lost() -> None:
    tariff = Tariff(1, {"input_tokens": (1_000_000, 10**6)})
    assert charge({"input_tokens": 1}, tariff) == 1
    assert charge({"input_tokens": 10**6}, tariff) == 1_000_000


def test_half_a_nano_dollar_rounds_up() -> None:
    assert round_half_up(1, 2) == 1
    assert round_half_up(49, 100) == 0


@given(st.dictionaries(st.sampled_from(METERS), st.tuples(units, prices)), st.lists(st.integers(0, 20_000), max_size=3))
def test_it_equals_exact_arithmetic_rounded_once(
    lines: dict[str, tuple[int, tuple[int, int]]], multipliers: list[int]
) -> None:
    tariff = Tariff(1, {meter: price for meter, (_, price) in lines.items()})
    usage = {meter: count for meter, (count, _) in lines.items()}
    exact = sum((Fraction(count * amount, per) for count, (amount, per) in lines.values()), Fraction(0))
    for multiplier in multipliers:
        exact *= Fraction(multiplier, 10_000)
    if exact < 2**63 - 1:
        assert charge(usage, tariff, multipliers) == (exact + Fraction(1, 2)).__floor__()


def test_a_finer_meter_without_a_price_is_charged_as_the_coarser_one() -> None:
    assert charge({"cached_input_tokens": 10, "reasoning_tokens": 1}, TARIFF) == 10 * 3_000 + 15_000


def test_units_without_a_price_are_refused_rather_than_free() -> None:
    with pytest.raises(UnpricedError, match="images"):
        charge({"images": 1}, TARIFF)


def test_requests_are_free_unless_priced() -> None:
    assert charge({"requests": 1}, TARIFF) == 0
    assert charge({"requests": 2}, Tariff(1, {"requests": (5, 1)})) == 10


@given(st.dictionaries(st.sampled_from(METERS), prices, min_size=1), st.sampled_from(METERS), st.integers(1, 10**6))
def test_a_unit_is_charged_by_one_price(named: dict[str, tuple[int, int]], meter: str, count: int) -> None:
    """Lago 5916: overlapping filters billed the same usage twice."""
    amount, per = named.get(meter) or named.get(FALLBACK.get(meter, ""), (0, 0))
    if per:
        assert charge({meter: count}, Tariff(1, named)) == round_half_up(count * amount, per)
    elif meter != "requests":
        with pytest.raises(UnpricedError):
            charge({meter: count}, Tariff(1, named))


def test_a_charge_that_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        charge({"input_tokens": 10**15}, Tariff(1, {"input_tokens": (10**15, 1)}))


@pytest.mark.parametrize(
    ("outcome", "estimated", "charged", "reason"),
    [
        ("completed", False, True, "as_reported"),
        ("completed", True, True, "as_estimated"),
        ("client_disconnected", True, True, "until_disconnect"),
        ("hold_exhausted", True, True, "until_exhausted"),
        ("upstream_error", False, False, "upstream_failed"),
        ("timeout", False, False, "timed_out"),
        ("refused", False, False, "upstream_refused"),
    ],
)
def test_what_is_charged_follows_from_the_outcome(outcome: str, estimated: bool, charged: bool, reason: str) -> None:
    nanos, why = outcome_charge(outcome, {"input_tokens": 1}, TARIFF, estimated=estimated)
    assert (nanos > 0, why) == (charged, reason)


def test_a_completed_request_of_which_nothing_priced_was_counted_is_unpriced() -> None:
    """LiteLLM 37923: a streamed model priced at zero, so that €830 were invoiced and $1.47 recorded."""
    for usage in ({}, {"requests": 1}):
        with pytest.raises(UnpricedError):
            outcome_charge("completed", usage, TARIFF, estimated=False)
        assert outcome_charge("client_disconnected", usage, TARIFF, estimated=False)[0] == 0
    by_request = Tariff(version=1, prices={"requests": (0, 1)})
    assert outcome_charge("completed", {"requests": 1}, by_request, estimated=False)[0] == 0
