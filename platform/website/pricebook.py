"""The price versions of one model: in force, coming, past."""

from dataclasses import dataclass
from datetime import datetime

from billing.meters import METERS
from billing.models import Price, PriceVersion
from catalog.models import Model


@dataclass(frozen=True)
class PriceBook:
    model: Model
    in_force: PriceVersion | None
    coming: list[PriceVersion]
    history: list[PriceVersion]

    @property
    def by_meter(self) -> dict[str, Price]:
        return {price.meter: price for price in self.in_force.prices.all()} if self.in_force else {}

    @property
    def others(self) -> list[Price]:
        """What is charged beside plain input and output."""
        return in_order([p for p in self.by_meter.values() if p.meter not in ("input_tokens", "output_tokens")])


def price_book(model: Model, versions: list[PriceVersion], now: datetime) -> PriceBook:
    """Sort a model's versions, superseded ones included, by what they are at this moment."""
    standing = [version for version in versions if version.superseded_at is None]
    begun = [version for version in standing if version.effective_from <= now]
    return PriceBook(
        model,
        max(begun, key=lambda version: version.effective_from, default=None),
        sorted((v for v in standing if v.effective_from > now), key=lambda version: version.effective_from),
        sorted(versions, key=lambda version: (version.effective_from, version.pk), reverse=True),
    )


def in_order(prices: list[Price]) -> list[Price]:
    return sorted(prices, key=lambda price: METERS.index(price.meter))
