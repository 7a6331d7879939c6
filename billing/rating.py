"""What a request costs. Pure: no database, no clock, no I/O, so that gateway and worker compute the same charge.

    charge = round_half_up(Σ units × amount × Π multipliers / (per_units × 10,000^k))

Amounts are integers of nano-dollars. The sum is exact, over the version's common denominator; it is rounded once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import lcm

from billing.meters import FALLBACK, FREE_UNLESS_PRICED, INPUT_METERS, METERS, OUTPUT_METERS

BASIS_POINTS = 10_000
LARGEST_CHARGE = 2**63 - 1


class UnpricedError(ValueError):
    """Units of a meter for which the version has no price."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """The unit prices of one price version: meter → (nano-dollars, per so many units)."""

    version: int
    prices: Mapping[str, tuple[int, int]]
    denominator: int = field(init=False)
    weights: Mapping[str, int] = field(init=False)
    # Meters that cost nothing because no price names them.
    free: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        denominator = lcm(*(per for _, per in self.prices.values())) if self.prices else 1
        weights = {meter: amount * (denominator // per) for meter, (amount, per) in self.prices.items()}
        for meter in METERS:
            coarser = FALLBACK.get(meter)
            if meter not in weights and coarser in weights:
                weights[meter] = weights[coarser]
        free = FREE_UNLESS_PRICED - weights.keys()
        weights.update(dict.fromkeys(free, 0))
        object.__setattr__(self, "free", free)
        object.__setattr__(self, "denominator", denominator)
        object.__setattr__(self, "weights", weights)


def charge(usage: Mapping[str, int], tariff: Tariff, multipliers: Iterable[int] = ()) -> int:
    """Return the charge in nano-dollars of `usage` (disjoint meter → units). Multipliers are basis points.

    Raises UnpricedError where units of a meter have no price, and OverflowError above 2^63 - 1.
    """
    weights = tariff.weights
    numerator = 0
    for meter, units in usage.items():
        if units:
            try:
                numerator += units * weights[meter]
            except KeyError:
                raise UnpricedError(meter) from None
    denominator = tariff.denominator
    for multiplier in multipliers:
        numerator *= multiplier
        denominator *= BASIS_POINTS
    nanos = round_half_up(numerator, denominator)
    if nanos > LARGEST_CHARGE:
        raise OverflowError(f"a charge of {nanos} nano-dollars doesn't fit")
    return nanos


def round_half_up(numerator: int, denominator: int) -> int:
    """The one place where money is rounded; both are non-negative integers."""
    return (2 * numerator + denominator) // (2 * denominator)


# What is charged by outcome: contracts.md, "What is charged". Shown to customers as the reason of each event.
CHARGED = {
    "completed": "as_reported",
    "client_disconnected": "until_disconnect",
    "hold_exhausted": "until_exhausted",
}
NOT_CHARGED = {"upstream_error": "upstream_failed", "timeout": "timed_out", "refused": "upstream_refused"}


def outcome_charge(
    outcome: str,
    usage: Mapping[str, int],
    tariff: Tariff,
    *,
    estimated: bool,
    multipliers: Iterable[int] = (),
) -> tuple[int, str]:
    """Return (nano-dollars, reason) of a request that ended so.

    Raises UnpricedError also where a completed request counts nothing but itself and has no price for that: nobody
    gives a model away by not saying what it used. An explicit zero is a count.
    """
    if outcome in NOT_CHARGED:
        return 0, NOT_CHARGED[outcome]
    if outcome == "completed" and len(usage) < 2 and usage.keys() <= tariff.free:
        raise UnpricedError("nothing was counted that has a price")
    reason = "as_estimated" if estimated and outcome == "completed" else CHARGED[outcome]
    return charge(usage, tariff, multipliers), reason


def worst_case(input_units: int, output_units: int, tariff: Tariff) -> int:
    """The most that so many tokens in and out can cost, whichever finer meters they turn out to be; nano-dollars."""
    weights = tariff.weights
    dearest_input = max((weights.get(meter, 0) for meter in INPUT_METERS), default=0)
    dearest_output = max((weights.get(meter, 0) for meter in OUTPUT_METERS), default=0)
    numerator = input_units * dearest_input + output_units * dearest_output + weights.get("requests", 0)
    return -(-numerator // tariff.denominator)
