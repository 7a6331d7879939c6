"""Prices as other programs read them: decimal strings of dollars per unit. Pure."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from billing.tariff import BASIS_POINTS, Tariff, UnitPrice

# As OpenRouter calls them, which is what clients look for; the other meters have our names.
NAMES = {
    "input_tokens": "prompt",
    "output_tokens": "completion",
    "cached_input_tokens": "input_cache_read",
    "cache_write_tokens": "input_cache_write",
    "reasoning_tokens": "internal_reasoning",
    "requests": "request",
}
NANOS = 10**9
# Most that a finite one has: nine decimals, four of a discount, a unit's own. A price per 60 seconds may have no end.
DECIMALS = Decimal(1).scaleb(-28)
CONTEXT = Context(prec=60, rounding=ROUND_HALF_UP)


def described(tariff: Tariff, discount: int | None = None) -> dict[str, Any]:
    """A model's prices, with a discount (basis points) taken off: `prompt` and `completion` always, other meters where
    they have their own. Tiers and variants name what they change; off-peak multipliers aren't taken into account."""
    left = BASIS_POINTS - (discount or 0)
    plain = [price for price in tariff.unit_prices if not price.variant]
    pricing: dict[str, Any] = {"prompt": "0", "completion": "0", **_told(plain, 0, left)}
    if tiers := [{"from_input_tokens": start, **_told(plain, start, left)} for start in tariff.starts]:
        pricing["tiers"] = [tier for tier in tiers if len(tier) > 1]
    variants: dict[str, list[UnitPrice]] = {}
    for price in tariff.unit_prices:
        if price.variant:
            variants.setdefault(price.variant, []).append(price)
    if variants:
        pricing["variants"] = [
            {"variant": variant, "from_input_tokens": start, **told}
            for variant, own in sorted(variants.items())
            for start in (0, *tariff.starts)
            if (told := _told(own, start, left))
        ]
    if tariff.off_peak.windows:
        pricing["off_peak"] = [_window(window) for window in tariff.off_peak.windows]
    return pricing


def _told(prices: Iterable[UnitPrice], start: int, left: int) -> dict[str, str]:
    """Of the tier that begins there, by name."""
    return {
        NAMES.get(price.meter, price.meter): per_unit(price, left)
        for price in prices
        if price.from_input_tokens == start
    }


def _window(window: Mapping[str, Any]) -> dict[str, Any]:
    points = CONTEXT.divide(Decimal(window["basis_points"]), BASIS_POINTS)
    return {"days": window["days"], "from": window["from"], "to": window["to"], "multiplier": f"{points.normalize():f}"}


def per_unit(price: UnitPrice, left: int = BASIS_POINTS) -> str:
    """Dollars per unit, of which so many basis points are left: `0.0000025`, never with an exponent."""
    exact = CONTEXT.divide(Decimal(price.amount_nanos * left), Decimal(price.per_units * BASIS_POINTS * NANOS))
    text = f"{CONTEXT.quantize(exact, DECIMALS):f}"
    return text.rstrip("0").rstrip(".")
