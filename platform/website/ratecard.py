"""Models with the prices in force: what the landing page shows and snippets name."""

from dataclasses import dataclass
from datetime import datetime

from billing.meters import LABELS, METERS
from billing.models import Price, PriceVersion
from catalog.models import Model


@dataclass(frozen=True)
class Offer:
    model: Model
    prices: list[Price]

    @property
    def by_meter(self) -> dict[str, Price]:
        return {price.meter: price for price in self.prices}

    @property
    def others(self) -> list[tuple[str, Price]]:
        """Label and price of what is charged beside plain input and output."""
        return [
            (LABELS[price.meter], price)
            for price in self.prices
            if price.meter not in ("input_tokens", "output_tokens")
        ]


def offers(now: datetime) -> list[Offer]:
    """Enabled models that have a price, in the order of their ids."""
    versions = PriceVersion.objects.in_force(now).filter(model__in=Model.objects.listed(now)).prefetch_related("prices")
    prices = {version.model_id: in_order(list(version.prices.all())) for version in versions}
    return [Offer(model, prices[model.pk]) for model in Model.objects.listed(now) if model.pk in prices]


def in_order(prices: list[Price]) -> list[Price]:
    return sorted(prices, key=lambda price: METERS.index(price.meter))


def example_model(now: datetime) -> str:
    """The id that snippets name: the first model that chats."""
    chatting = Model.objects.listed(now).filter(families__contains="chat").values_list("public_id", flat=True)
    return chatting.first() or "your-model"
