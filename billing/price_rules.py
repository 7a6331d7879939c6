"""What a set of prices has to be like to be published."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from billing.meters import FALLBACK, FREE_UNLESS_PRICED, METERS, MOST_UNITS
from billing.off_peak import OffPeakError, off_peak
from billing.tariff import UnitPrice

LARGEST_AMOUNT = 10**15
# More would make a price list that nobody reads, and rates of every tier and variant are kept ready.
MOST_TIERS, MOST_VARIANTS = 8, 50
VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,59}")


class PriceError(ValueError):
    """Prices that can't be published; the message says why."""


def validate(prices: Iterable[UnitPrice], windows: Iterable[Mapping[str, Any]] = ()) -> None:
    """Raises PriceError where prices or off-peak times can't be published."""
    named = list(prices)
    if not named:
        raise PriceError("Name at least one price; a free model has a price of 0.")
    for price in named:
        _check(price)
    _check_together(named)
    try:
        off_peak(windows)
    except OffPeakError as error:
        raise PriceError(str(error)) from error


def told(price: UnitPrice) -> str:
    """Which price that is, for a message."""
    tier = f" from {price.from_input_tokens:,} input tokens" if price.from_input_tokens else ""
    return f"{price.meter}{tier}{f' of variant {price.variant}' if price.variant else ''}"


def _check(price: UnitPrice) -> None:
    if price.meter not in METERS:
        raise PriceError(f"{price.meter} is not something that is counted.")
    if any(type(number) is not int for number in (price.amount_nanos, price.per_units, price.from_input_tokens)):
        raise PriceError(f"The price of {told(price)} has to be whole nano-dollars: at most nine decimals.")
    if not 0 <= price.amount_nanos <= LARGEST_AMOUNT or not 1 <= price.per_units <= LARGEST_AMOUNT:
        raise PriceError(f"The price of {told(price)} is out of bounds: $0 to $1,000,000 per 1 or more units.")
    if not 0 <= price.from_input_tokens <= MOST_UNITS:
        raise PriceError(f"{told(price)} is out of bounds: a tier begins at 0 to {MOST_UNITS} tokens.")
    if price.variant and not VARIANT.fullmatch(price.variant):
        raise PriceError(f"“{price.variant[:60]}” is no variant: at most 60 letters, digits and . _ : / @ + - only.")


def _check_together(named: list[UnitPrice]) -> None:
    (place, count), *_ = Counter((p.meter, p.from_input_tokens, p.variant) for p in named).most_common(1)
    if count > 1:
        raise PriceError(f"{told(UnitPrice(place[0], 0, 1, *place[1:]))} has {count} prices: it can have one.")
    if len({price.from_input_tokens for price in named} - {0}) > MOST_TIERS:
        raise PriceError(f"A model has at most {MOST_TIERS} tiers beyond the first.")
    if len({price.variant for price in named} - {""}) > MOST_VARIANTS:
        raise PriceError(f"A model has at most {MOST_VARIANTS} variants.")
    for price in named:
        if price.from_input_tokens and not _has_lower(price, named):
            raise PriceError(f"{told(price)} has a price, and requests with less input have none: name that, too.")


def _has_lower(price: UnitPrice, named: list[UnitPrice]) -> bool:
    """Whether a request below that tier can be charged for the same meter."""
    meters = {price.meter, FALLBACK.get(price.meter)}
    below = (one for one in named if one.from_input_tokens == 0 and one.variant in ("", price.variant))
    return price.meter in FREE_UNLESS_PRICED or any(one.meter in meters for one in below)
