"""A percentage on many prices: exact, rounded by the rule that was said, and never to nothing."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.drafts.bulk import ROUNDINGS, Percentage
from billing.drafts.versions import Wanted
from billing.price_rules import PriceError
from billing.tariff import UnitPrice


def changed(nanos: int, basis_points: int, rounding: str) -> int:
    wanted = Wanted((UnitPrice("input_tokens", nanos, 10**6),))
    return Percentage(basis_points, rounding, {"input_tokens"}).of(wanted).prices[0].amount_nanos


@pytest.mark.parametrize(
    ("nanos", "basis_points", "rounding", "becomes"),
    [
        (3_000_000_000, 1_000, "exact", 3_300_000_000),
        (3_000_000_000, -1_000, "cent", 2_700_000_000),
        (1_234_000_000, 10_000, "digits", 2_470_000_000),
        (1_234_000_000, 10_000, "cent", 2_470_000_000),
        (23_400_000, 10_000, "cent", 50_000_000),
        (5_000_000, 10_000, "cent", 10_000_000),
        (1, 5_000, "exact", 2),
        (1, 4_999, "exact", 1),
        (0, 5_000, "cent", 0),
        (999_500, 1, "digits", 1_000_000),
    ],
)
def test_halves_are_rounded_up(nanos: int, basis_points: int, rounding: str, becomes: int) -> None:
    assert changed(nanos, basis_points, rounding) == becomes


@given(
    nanos=st.integers(0, 10**15),
    basis_points=st.integers(-9_999, 100_000).filter(bool),
    rounding=st.sampled_from(list(ROUNDINGS)),
)
def test_the_result_is_within_half_a_step_of_the_exact_one(nanos: int, basis_points: int, rounding: str) -> None:
    exact = Fraction(nanos * (10_000 + basis_points), 10_000)
    try:
        found = changed(nanos, basis_points, rounding)
    except PriceError:
        assert 0 < exact < 5_000_000
        return
    step = {"exact": 1, "cent": 10_000_000, "digits": 10 ** max(0, len(str(int(exact))) - 3)}[rounding]
    assert abs(found - exact) <= Fraction(step, 2)
    assert found % step == 0
    assert (found == 0) == (nanos == 0)


def test_only_the_named_meters_change_in_every_tier_and_variant() -> None:
    prices = (
        UnitPrice("input_tokens", 100),
        UnitPrice("input_tokens", 200, 1, 1000),
        UnitPrice("images", 300, 1, 0, "hd"),
        UnitPrice("output_tokens", 400),
    )
    found = Percentage(5_000, "exact", {"input_tokens", "images"}).of(Wanted(prices))
    assert [price.amount_nanos for price in found.prices] == [150, 300, 450, 400]


def test_a_price_that_would_be_rounded_to_nothing_is_refused_and_named() -> None:
    with pytest.raises(PriceError, match="input_tokens would be rounded to nothing"):
        changed(1_000, -5_000, "cent")


@pytest.mark.parametrize("basis_points", [0, -10_000, -10_001, 1_000_001])
def test_slips_of_the_keyboard_are_refused(basis_points: int) -> None:
    with pytest.raises(PriceError, match="-100 %"):
        Percentage(basis_points, "exact", {"input_tokens"})


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(PriceError, match="no rule"):
        Percentage(100, "down", {"input_tokens"})
