"""The prices of one version, ready to rate by: which price a unit has, by the request's input and variant. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from math import lcm
from typing import NamedTuple

from billing.meters import FALLBACK, FREE_UNLESS_PRICED, INPUT_METERS, OUTPUT_METERS
from billing.off_peak import NO_OFF_PEAK, OffPeak

BASIS_POINTS = 10_000


class UnitPrice(NamedTuple):
    """Nano-dollars per so many units of a meter: of every request, or of those with so many input tokens or more (a
    tier, which prices the whole request), or of a variant, such as an image's `1024x1024-hd`."""

    meter: str
    amount_nanos: int
    per_units: int = 1
    from_input_tokens: int = 0
    variant: str = ""


Prices = Mapping[str, tuple[int, int]] | Iterable[UnitPrice]
"""Unit prices; where there are neither tiers nor variants also meter → (nano-dollars, per so many units)."""


def unit_prices(prices: Prices) -> tuple[UnitPrice, ...]:
    if isinstance(prices, Mapping):
        return tuple(UnitPrice(meter, amount, per) for meter, (amount, per) in prices.items())
    return tuple(prices)


class Rates(NamedTuple):
    """What units cost in one tier and variant, by meter: the price that a meter has, or that of its coarser one.

    `weights` are nano-dollars per unit, over the tariff's denominator. `free` costs nothing because no price names it.
    """

    prices: Mapping[str, UnitPrice]
    weights: Mapping[str, int]
    free: frozenset[str]


class Ceiling(NamedTuple):
    """The dearest weights of a tier, whatever the finer meters and the variant; `last` is its last input token."""

    first: int
    last: int | None
    input: int
    output: int
    request: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """The unit prices of one price version."""

    version: int
    prices: InitVar[Prices]
    off_peak: OffPeak = NO_OFF_PEAK
    unit_prices: tuple[UnitPrice, ...] = field(init=False)
    denominator: int = field(init=False)
    # Whether one set of rates is for every request.
    plain: bool = field(init=False)
    rates: Rates = field(init=False)
    # Where tiers begin, above none; rates by variant and how many of those are reached.
    starts: tuple[int, ...] = field(init=False)
    by_place: Mapping[tuple[str, int], Rates] = field(init=False, repr=False)
    ceilings: tuple[Ceiling, ...] = field(init=False, repr=False)

    def __post_init__(self, prices: Prices) -> None:
        named = unit_prices(prices)
        starts = sorted({price.from_input_tokens for price in named if price.from_input_tokens})
        variants = sorted({price.variant for price in named} | {""})
        denominator = lcm(*(price.per_units for price in named)) if named else 1
        places = [0, *starts]
        by_place = {
            (variant, tier): _rates(named, start, variant, denominator)
            for tier, start in enumerate(places)
            for variant in variants
        }
        ceilings = tuple(
            _ceiling(start, following, [by_place[variant, tier] for variant in variants])
            for tier, (start, following) in enumerate(zip(places, [*starts, None], strict=True))
        )
        found = {"unit_prices": named, "denominator": denominator, "plain": len(by_place) == 1}
        found |= {"rates": by_place["", 0], "starts": tuple(starts), "by_place": by_place, "ceilings": ceilings}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def rates_of(self, usage: Mapping[str, int], variant: str = "") -> Rates:
        """By the tier that all of the request's input tokens together reach, and the variant's own prices."""
        if self.plain:
            return self.rates
        tier = bisect_right(self.starts, sum(usage.get(meter, 0) for meter in INPUT_METERS)) if self.starts else 0
        return self.by_place.get((variant, tier)) or self.by_place["", tier]

    def multiplier_at(self, moment: datetime) -> int | None:
        """The off-peak multiplier of a moment, basis points."""
        return self.off_peak.at(moment) if self.off_peak.begins else None


def _rates(named: tuple[UnitPrice, ...], start: int, variant: str, denominator: int) -> Rates:
    """A meter that a tier doesn't name costs what the tier below says; a variant's own price goes first."""
    found: dict[str, UnitPrice] = {}
    for price in sorted(named, key=lambda one: (one.variant, one.from_input_tokens)):
        if price.from_input_tokens <= start and price.variant in ("", variant):
            found[price.meter] = price
    for meter, coarser in FALLBACK.items():
        if meter not in found and coarser in found:
            found[meter] = found[coarser]
    free = FREE_UNLESS_PRICED - found.keys()
    weights = {meter: price.amount_nanos * (denominator // price.per_units) for meter, price in found.items()}
    return Rates(found, weights | dict.fromkeys(free, 0), free)


def _ceiling(first: int, following: int | None, of_variants: list[Rates]) -> Ceiling:
    def dearest(meters: Iterable[str]) -> int:
        return max([rates.weights.get(meter, 0) for rates in of_variants for meter in meters])

    last = None if following is None else following - 1
    return Ceiling(first, last, dearest(INPUT_METERS), dearest(OUTPUT_METERS), dearest(["requests"]))
