"""Nano-dollars as people read and type them: short to see, exact beneath, never through a float."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from website import money
from website.templatetags import keymeter

AMOUNTS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@pytest.mark.parametrize(
    ("nanos", "short"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (42_000, "$0.000042"),
        (42_999, "$0.000042"),
        (12_400_000, "$0.0124"),
        (500_000_000, "$0.50"),
        (999_999_999, "$0.9999"),
        (4_999_958_000, "$4.99"),
        (1_234_567_891_234_567_891, "$1,234,567,891.23"),
        (-42_000, "-$0.000042"),
        (-1_500_000_000, "-$1.50"),
    ],
)
def test_an_amount_is_short_and_never_more_than_there_is(nanos: int, short: str) -> None:
    assert money.short(nanos) == short


def test_the_exact_amount_is_on_hover() -> None:
    assert keymeter.money(12_400_000) == '<span class="money" title="$0.012400000">$0.0124</span>'


@pytest.mark.parametrize(("nanos", "text"), [(150_000_000, "$0.15"), (12_500, "$0.0000125"), (2_000_000_000, "$2.00")])
def test_a_price_shows_every_decimal_that_matters(nanos: int, text: str) -> None:
    assert money.trimmed(nanos) == text


@given(AMOUNTS)
def test_the_decimal_text_is_the_amount(nanos: int) -> None:
    whole, fraction = money.decimal(nanos).removeprefix("-").split(".")
    assert len(fraction) == 9
    assert int(whole + fraction) == abs(nanos)


@given(AMOUNTS)
def test_short_is_cut_from_exact(nanos: int) -> None:
    short = money.short(nanos)
    if short != "$0.00":
        assert money.exact(nanos).startswith(short.rstrip("0") if "." in short else short)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_what_is_shown_can_be_typed_back(nanos: int) -> None:
    assert money.parse(money.decimal(nanos)) == nanos


@pytest.mark.parametrize(
    ("typed", "nanos"),
    [("0.15", 150_000_000), ("$3", 3_000_000_000), (" .5 ", 500_000_000), ("0.000000001", 1), ("007", 7_000_000_000)],
)
def test_dollars_are_read_exactly(typed: str, nanos: int) -> None:
    assert money.parse(typed) == nanos


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("1,5", "point"),
        ("1,000.00", "point"),
        ("0.0000000001", "nine decimals"),
        ("-1", "negative"),
        ("1e3", "number of dollars"),
        ("nan", "number of dollars"),
        ("1_000", "number of dollars"),
        ("٣", "number of dollars"),
        ("1.", "number of dollars"),
        ("9223372037", "largest"),
        ("99999999999", "number of dollars"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_reason(typed: str, complaint: str) -> None:
    with pytest.raises(money.NotAnAmount, match=complaint):
        money.parse(typed)
