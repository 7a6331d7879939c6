"""What a price version has, as a value: to compare, to change, and to keep in a draft."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from billing.meters import METERS
from billing.models import DraftLine, Price, PriceList, PriceVersion
from billing.prices import unit_prices_of
from billing.tariff import UnitPrice

# A model and a price list by pk; None is the public list.
Place = tuple[int, int | None]


class Wanted(NamedTuple):
    """Unit prices in their order, and off-peak times. No prices in a list of its own: the public ones again."""

    prices: tuple[UnitPrice, ...] = ()
    off_peak: tuple[dict[str, Any], ...] = ()

    @property
    def plain(self) -> dict[str, UnitPrice]:
        """Meter → its price of every request, without tiers and variants."""
        return {price.meter: price for price in self.prices if not price.from_input_tokens and not price.variant}

    def with_price(self, price: UnitPrice) -> "Wanted":
        """With this instead of what its meter costs in its tier and variant."""
        return self._replace(prices=in_order([*self._without(price), price]))

    def without_price(self, price: UnitPrice) -> "Wanted":
        return self._replace(prices=in_order(self._without(price)))

    def _without(self, price: UnitPrice) -> list[UnitPrice]:
        return [one for one in self.prices if place_of(one) != place_of(price)]


def place_of(price: UnitPrice) -> tuple[str, int, str]:
    """What can have one price in a version only."""
    return price.meter, price.from_input_tokens, price.variant


def in_order(prices: Iterable[UnitPrice]) -> tuple[UnitPrice, ...]:
    """By meter, tier, variant: equal prices are equal then."""
    return tuple(sorted(prices, key=lambda one: (METERS.index(one.meter), one.from_input_tokens, one.variant)))


def wanted_of_version(version: PriceVersion | None) -> Wanted:
    """What a version has; nothing where there is none."""
    if version is None:
        return Wanted()
    return Wanted(in_order(unit_prices_of(version)), tuple(version.off_peak))


def wanted_of_line(line: DraftLine) -> Wanted:
    return Wanted(tuple(UnitPrice(*price) for price in line.prices), tuple(line.off_peak))


def in_force_with_prices(
    price_list: PriceList | None, moment: datetime, models: Iterable[int]
) -> dict[int, tuple[PriceVersion, Wanted]]:
    """Model pk → the version that a list has at a moment, and what is in it. Quick for hundreds of models."""
    versions = list(PriceVersion.objects.in_force(moment, price_list).filter(model_id__in=list(models)))
    prices: dict[int, list[UnitPrice]] = defaultdict(list)
    rows = Price.objects.filter(version_id__in=[version.pk for version in versions])
    for version, *price in rows.values_list("version_id", *UnitPrice._fields):
        prices[version].append(UnitPrice(*price))
    return {
        version.model_id: (version, Wanted(in_order(prices[version.pk]), tuple(version.off_peak)))
        for version in versions
    }


def versions_at(moment: datetime, models: Iterable[int] | None = None) -> dict[Place, PriceVersion]:
    """The version that each price list has at a moment, of these models or of all."""
    found = PriceVersion.objects.standing().filter(effective_from__lte=moment)
    if models is not None:
        found = found.filter(model_id__in=set(models))
    found = found.order_by("model_id", "price_list_id", "-effective_from").distinct("model_id", "price_list_id")
    return {(version.model_id, version.price_list_id): version for version in found.prefetch_related("prices")}
