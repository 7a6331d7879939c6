"""Which price a unit has: by the tier that the request's input reaches, and by its variant."""

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import FALLBACK, INPUT_METERS, METERS, OUTPUT_METERS
from billing.rating import UnpricedError, charge, outcome_charge, worst_case
from billing.tariff import Tariff, UnitPrice

LONG = 200_000
TIERED = Tariff(
    1,
    [
        UnitPrice("input_tokens", 3),
        UnitPrice("cached_input_tokens", 1),
        UnitPrice("output_tokens", 15),
        UnitPrice("input_tokens", 6, from_input_tokens=LONG),
        UnitPrice("output_tokens", 22, from_input_tokens=LONG),
        UnitPrice("input_tokens", 9, from_input_tokens=2 * LONG),
    ],
)
IMAGES = Tariff(
    1,
    [
        UnitPrice("images", 40),
        UnitPrice("input_tokens", 5),
        UnitPrice("images", 80, variant="1024x1024-hd"),
        UnitPrice("images", 70, from_input_tokens=LONG),
    ],
)


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        ({"input_tokens": LONG - 1, "output_tokens": 1}, (LONG - 1) * 3 + 15),
        # One token more, and the whole request costs what the tier says.
        ({"input_tokens": LONG, "output_tokens": 1}, LONG * 6 + 22),
        # All input counts, cached input too; the tier doesn't name that, so it costs what the one below says.
        ({"input_tokens": 1, "cached_input_tokens": LONG - 1}, 6 + LONG - 1),
        # Output chooses no tier.
        ({"input_tokens": 1, "output_tokens": LONG}, 3 + LONG * 15),
        # The second tier names input only.
        ({"input_tokens": 2 * LONG, "output_tokens": 1}, 2 * LONG * 9 + 22),
        ({"output_tokens": 1}, 15),
    ],
)
def test_the_input_chooses_the_tier_that_prices_the_whole_request(usage: dict[str, int], nanos: int) -> None:
    assert charge(usage, TIERED) == nanos


def test_a_finer_meter_follows_its_coarser_one_into_the_tier() -> None:
    assert charge({"input_audio_tokens": LONG, "reasoning_tokens": 1}, TIERED) == LONG * 6 + 22


@pytest.mark.parametrize(
    ("variant", "usage", "nanos"),
    [
        ("", {"images": 2}, 80),
        ("1024x1024-hd", {"images": 2}, 160),
        # What the variant doesn't name costs what everybody's does; what nobody named is no variant.
        ("1024x1024-hd", {"images": 1, "input_tokens": 3}, 95),
        ("256x256", {"images": 1}, 40),
        # The variant's own price goes before that of the tier.
        ("1024x1024-hd", {"images": 1, "input_tokens": LONG}, 80 + 5 * LONG),
        ("", {"images": 1, "input_tokens": LONG}, 70 + 5 * LONG),
    ],
)
def test_a_variant_has_its_own_price_of_a_meter(variant: str, usage: dict[str, int], nanos: int) -> None:
    assert charge(usage, IMAGES, variant=variant) == nanos


def test_a_variant_without_any_price_is_refused_rather_than_free() -> None:
    only_hd = Tariff(1, [UnitPrice("images", 80, variant="hd")])
    assert charge({"images": 1}, only_hd, variant="hd") == 80
    with pytest.raises(UnpricedError):
        charge({"images": 1}, only_hd, variant="sd")


def test_a_request_that_only_its_variant_prices_isn_t_given_away() -> None:
    by_request = Tariff(1, [UnitPrice("requests", 7, variant="hd")])
    assert outcome_charge("completed", {"requests": 1}, by_request, estimated=False, variant="hd")[0] == 7
    with pytest.raises(UnpricedError):
        outcome_charge("completed", {"requests": 1}, by_request, estimated=False)


tiers = st.lists(st.integers(1, 1000), unique=True, max_size=3).map(lambda starts: [0, *sorted(starts)])
variants = st.sampled_from(["", "hd", "sd"])
amounts = st.tuples(st.integers(0, 10**9), st.sampled_from([1, 60, 1000, 10**6, 7]))
usages = st.dictionaries(st.sampled_from(METERS), st.integers(0, 1500), max_size=6)
multipliers = st.lists(st.integers(0, 20_000), max_size=3)


@st.composite
def tariffs(draw: Callable[[Any], Any]) -> Tariff:
    """Everything has a price in the first tier and without a variant."""
    prices = [UnitPrice(meter, *draw(amounts)) for meter in METERS if meter not in FALLBACK]
    for start in draw(tiers):
        for meter in draw(st.sets(st.sampled_from(METERS), max_size=4)):
            variant = draw(variants)
            if start or variant or meter in FALLBACK:
                prices.append(UnitPrice(meter, *draw(amounts), start, variant))
    return Tariff(1, draw(st.permutations(prices)))


def by_the_book(tariff: Tariff, usage: dict[str, int], points: list[int], variant: str) -> Fraction:
    """The same, price by price, without anything that was made ready."""
    reached = sum(usage.get(meter, 0) for meter in INPUT_METERS)

    def price_of(meter: str) -> UnitPrice | None:
        reachable = [p for p in tariff.unit_prices if p.meter == meter and p.from_input_tokens <= reached]
        of_variant = [p for p in reachable if variant and p.variant == variant]
        candidates = of_variant or [p for p in reachable if not p.variant]
        return max(candidates, key=lambda p: p.from_input_tokens, default=None)

    exact = Fraction(0)
    for meter, units in usage.items():
        price = price_of(meter) or price_of(FALLBACK.get(meter, ""))
        assert price
        exact += Fraction(units * price.amount_nanos, price.per_units)
    for multiplier in points:
        exact *= Fraction(multiplier, 10_000)
    return exact


@given(tariffs(), usages, multipliers, variants)
def test_it_equals_exact_arithmetic_rounded_once(
    tariff: Tariff, usage: dict[str, int], points: list[int], variant: str
) -> None:
    exact = by_the_book(tariff, usage, points, variant)
    assert charge(usage, tariff, points, variant) == (exact + Fraction(1, 2)).__floor__()


@given(tariffs(), usages, multipliers, variants)
def test_the_order_of_multipliers_makes_no_difference(
    tariff: Tariff, usage: dict[str, int], points: list[int], variant: str
) -> None:
    assert len({charge(usage, tariff, order, variant) for order in permutations(points)}) == 1


@given(tariffs(), usages, st.sampled_from([meter for meter in METERS if meter not in INPUT_METERS]), variants)
def test_more_of_anything_but_input_never_costs_less(
    tariff: Tariff, usage: dict[str, int], meter: str, variant: str
) -> None:
    more = {**usage, meter: usage.get(meter, 0) + 1}
    assert charge(more, tariff, variant=variant) >= charge(usage, tariff, variant=variant)


@given(tariffs(), usages, multipliers, variants, st.integers(0, 300), st.integers(0, 300))
def test_the_worst_case_covers_whatever_the_request_turns_out_to_be(
    tariff: Tariff, usage: dict[str, int], points: list[int], variant: str, less_input: int, less_output: int
) -> None:
    used = {meter: units for meter, units in usage.items() if meter in (*INPUT_METERS, *OUTPUT_METERS)}
    most_input = sum(used.get(meter, 0) for meter in INPUT_METERS)
    most_output = sum(used.get(meter, 0) for meter in OUTPUT_METERS)
    held = worst_case(most_input + less_input, most_output + less_output, tariff, points)
    assert held >= charge({**used, "requests": 1}, tariff, points, variant)


def test_the_worst_case_counts_on_no_tier_that_can_t_be_reached() -> None:
    assert worst_case(LONG - 1, 10, TIERED) == (LONG - 1) * 3 + 150
    assert worst_case(LONG, 10, TIERED) == LONG * 6 + 220
    assert worst_case(LONG, 10, TIERED, [5_000]) == LONG * 3 + 110


def test_the_worst_case_is_the_dearest_tier_though_it_is_a_lower_one() -> None:
    cheaper_later = Tariff(1, [UnitPrice("input_tokens", 10), UnitPrice("input_tokens", 1, from_input_tokens=100)])
    assert worst_case(150, 0, cheaper_later) == 99 * 10
    assert worst_case(1000, 0, cheaper_later) == 1000
