"""What a forecast says: in all, by model, and by the organizations that it changes the most."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Abs, Lower

from billing.forecasting.sums import SUMS
from billing.models import Forecast, ForecastSum

MOST_AFFECTED = 10


@dataclass(frozen=True)
class Effect:
    """Of some events: nano-dollars. `name` and `link` are whose they are."""

    name: str
    link: Any
    events: int
    charged_nanos: int
    before_nanos: int
    after_nanos: int
    cost_nanos: int
    costed_before_nanos: int
    costed_after_nanos: int
    unpriced_before: int
    unpriced_after: int

    @property
    def change_nanos(self) -> int:
        return self.after_nanos - self.before_nanos

    @property
    def change_bp(self) -> int | None:
        """Of what it was, basis points, towards zero; None where it was nothing."""
        change = self.change_nanos * 10_000
        return (abs(change) // self.before_nanos) * (1 if change >= 0 else -1) if self.before_nanos else None

    @property
    def margin_before_nanos(self) -> int | None:
        """Of the events whose cost is known; None where none is."""
        return self.costed_before_nanos - self.cost_nanos if self.has_costs else None

    @property
    def margin_after_nanos(self) -> int | None:
        return self.costed_after_nanos - self.cost_nanos if self.has_costs else None

    @property
    def has_costs(self) -> bool:
        return bool(self.cost_nanos or self.costed_before_nanos or self.costed_after_nanos)

    @property
    def all_costed(self) -> bool:
        """Whether all revenue is of events whose cost is known."""
        return (self.costed_before_nanos, self.costed_after_nanos) == (self.before_nanos, self.after_nanos)


@dataclass(frozen=True)
class Results:
    in_all: Effect
    models: list[Effect]
    organizations: list[Effect]


def results(forecast: Forecast) -> Results:
    """As far as it has come."""
    total = forecast.sums.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in SUMS})
    models = _summed(forecast.sums.all(), "model__public_id", "model_id")
    organizations = _summed(forecast.sums.all(), "organization__name", "organization__public_id")
    moved = organizations.annotate(moved=Abs(F("sum_after_nanos") - F("sum_before_nanos"))).filter(moved__gt=0)
    return Results(
        _effect({**total, "name": "In all", "link": None}),
        [_effect(row) for row in models.order_by(Lower("name"))],
        [_effect(row) for row in moved.order_by("-moved", F("link"))[:MOST_AFFECTED]],
    )


def _summed(sums: QuerySet[ForecastSum], name: str, link: str) -> "QuerySet[ForecastSum, Any]":
    return sums.values(name=F(name), link=F(link)).annotate(**{f"sum_{column}": Sum(column) for column in SUMS})


def _effect(row: dict[str, Any]) -> Effect:
    return Effect(row["name"], row["link"], *(int(row[f"sum_{name}"]) for name in SUMS))
