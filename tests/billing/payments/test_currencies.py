"""Nano-dollars and cents: exact both ways, and only where a currency has cents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments.currencies import (
    WITH_THREE_DECIMALS,
    WITHOUT_DECIMALS,
    FractionError,
    nanos_of,
    smallest_units,
)

KNOWN = ["usd", "eur", *sorted(WITHOUT_DECIMALS | WITH_THREE_DECIMALS)]


@pytest.mark.parametrize(("currency", "amount"), [("usd", 1050), ("eur", 1050), ("kwd", 10_500)])
def test_ten_and_a_half(currency: str, amount: int) -> None:
    assert smallest_units(10_500_000_000, currency) == amount


def test_polar_11557_a_currency_without_cents_is_not_multiplied() -> None:
    """There, ¥500 became ¥50,000."""
    assert smallest_units(500 * 10**9, "jpy") == 500
    assert nanos_of(500, "jpy") == 500 * 10**9
    with pytest.raises(FractionError):
        smallest_units(500_500_000_000, "jpy")


@given(st.sampled_from(KNOWN), st.integers(1, 10**12))
def test_there_and_back_is_exact(currency: str, amount: int) -> None:
    assert smallest_units(nanos_of(amount, currency), currency) == amount


@pytest.mark.parametrize("nanos", [1, 10**7 - 1, 10**7 + 1])
def test_a_part_of_a_cent_is_refused(nanos: int) -> None:
    with pytest.raises(FractionError):
        smallest_units(nanos, "usd")
