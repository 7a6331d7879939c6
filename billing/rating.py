"""What a request costs. Pure: no database, no clock, no I/O, so that gateway and worker compute the same charge.

    charge = round_half_up(Σ units × amount × Π multipliers / (per_units × 10,000^k))

Amounts are integers of nano-dollars. The sum is exact, over the version's common denominator; it is rounded once.
"""

from collections.abc import Iterable, Mapping

from billing.tariff import BASIS_POINTS, Tariff

LARGEST_CHARGE = 2**63 - 1


class UnpricedError(ValueError):
    """Units of a meter for which the version has no price."""


def charge(usage: Mapping[str, int], tariff: Tariff, multipliers: Iterable[int] = (), variant: str = "") -> int:
    """Return the charge in nano-dollars of `usage` (disjoint meter → units). Multipliers are basis points.

    Raises UnpricedError where units of a meter have no price, and OverflowError above 2^63 - 1.
    """
    weights = (tariff.rates if tariff.plain else tariff.rates_of(usage, variant)).weights
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


def priced_part(usage: Mapping[str, int], tariff: Tariff, variant: str = "") -> dict[str, int]:
    """Of usage that counts the same work in several ways (images, and their tokens), that which has a price."""
    prices = tariff.rates_of(usage, variant).prices
    return {meter: units for meter, units in usage.items() if meter in prices}


def dearest(
    usage: Mapping[str, int], input_units: int, tariff: Tariff, multipliers: Iterable[int] = (), variant: str = ""
) -> int:
    """The most that these units of the variant can cost, nano-dollars, in any tier that so much input can reach. What
    has no price costs nothing, nor does the request itself."""
    numerator = 0
    for tier, start in enumerate((0, *tariff.starts)):
        if start <= input_units:
            rates = tariff.by_place.get((variant, tier)) or tariff.by_place["", tier]
            counted = (units * rates.weights[meter] for meter, units in usage.items() if meter in rates.prices)
            numerator = max(numerator, sum(counted))
    denominator = tariff.denominator
    for multiplier in multipliers:
        numerator *= multiplier
        denominator *= BASIS_POINTS
    return -(-numerator // denominator)


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
    variant: str = "",
) -> tuple[int, str]:
    """Return (nano-dollars, reason) of a request that ended so.

    Raises UnpricedError also where a completed request counts nothing but itself and has no price for that: nobody
    gives a model away by not saying what it used. An explicit zero is a count.
    """
    if outcome in NOT_CHARGED:
        return 0, NOT_CHARGED[outcome]
    if outcome == "completed" and len(usage) < 2 and usage.keys() <= tariff.rates_of(usage, variant).free:
        raise UnpricedError("nothing was counted that has a price")
    reason = "as_estimated" if estimated and outcome == "completed" else CHARGED[outcome]
    return charge(usage, tariff, multipliers, variant), reason


def worst_case(input_units: int, output_units: int, tariff: Tariff, multipliers: Iterable[int] = ()) -> int:
    """The most that so many tokens in and out can cost, nano-dollars: whichever finer meters and variant they turn out
    to be, in the dearest tier that so much input can reach. Multipliers follow from the moment of the admission."""
    numerator = 0
    for first, last, dearest_input, dearest_output, request in tariff.ceilings:
        if first > input_units:
            break
        most_input = input_units if last is None or input_units < last else last
        numerator = max(numerator, most_input * dearest_input + output_units * dearest_output + request)
    denominator = tariff.denominator
    for multiplier in multipliers:
        numerator *= multiplier
        denominator *= BASIS_POINTS
    return -(-numerator // denominator)
