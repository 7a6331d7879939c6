"""Usage added up by hour and by day: what dashboards read, and what events must equal."""

from typing import TYPE_CHECKING, Any

from django.db import models

from accounts.models import ApiKey, Organization
from billing.meters import METERS
from catalog.models import Model, Route


class RollupKind(models.TextChoices):
    USAGE = "usage", "Usage"
    ADJUSTMENT = "adjustment", "Adjustment"
    CORRECTION = "correction", "Correction"


def _to(model: type[models.Model], *, null: bool = False) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(
        model, null=null, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )


class Rollup(models.Model):
    """Sums over one organization, key, model, route, kind and span of time; nano-dollars and units of each meter."""

    # As an event's: checked by the worker, not by the database.
    organization = _to(Organization)
    api_key = _to(ApiKey)
    model = _to(Model)
    # Null is a request that reached no route; a unique index with NULLS NOT DISTINCT keeps that one row too.
    route = _to(Route, null=True)
    kind = models.CharField(max_length=10, choices=RollupKind.choices)
    events = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    charge_nanos = models.BigIntegerField(default=0)
    if TYPE_CHECKING:
        input_tokens: int
        output_tokens: int

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.events} events, {self.charge_nanos} nano-dollars"


for _meter in METERS:
    Rollup.add_to_class(_meter, models.BigIntegerField(default=0))


class HourlyUsage(Rollup):
    hour = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "hour", "api_key", "model", "route", "kind"],
                name="one_hourly_rollup",
                nulls_distinct=False,
            )
        ]


class DailyUsage(Rollup):
    day = models.DateField()

    class Meta:
        # For budgets, which are sums over a key's whole life.
        indexes = [models.Index(fields=["api_key", "day"], name="daily_usage_by_key")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "api_key", "model", "route", "kind"],
                name="one_daily_rollup",
                nulls_distinct=False,
            )
        ]
