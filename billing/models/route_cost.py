from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.unit_price import UnitPriceRow
from catalog.models import Route


class RouteCostQuerySet(models.QuerySet["RouteCost"]):
    def standing(self) -> "RouteCostQuerySet":
        """Those that no other one superseded."""
        return self.filter(superseded_at=None)

    def in_force(self, at: datetime) -> "RouteCostQuerySet":
        """The one of each route that says what requests of this moment cost us."""
        begun = self.standing().filter(effective_from__lte=at)
        return begun.order_by("route_id", "-effective_from").distinct("route_id")


class RouteCost(models.Model):
    """What a route's upstream charges us, from a moment until the next one's. Immutable as prices are.

    Nobody is charged by it, so it may start in the past: bills come late.
    """

    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="costs")
    effective_from = models.DateTimeField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    superseded_at = models.DateTimeField(null=True, editable=False)

    objects = RouteCostQuerySet.as_manager()

    class Meta:
        ordering = ["route_id", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["route", "effective_from"], condition=Q(superseded_at=None), name="route_costs_do_not_overlap"
            )
        ]

    def __str__(self) -> str:
        return f"{self.route} from {self.effective_from:%Y-%m-%d %H:%M:%S}"


class RouteCostLine(UnitPriceRow):
    """Nano-dollars per so many units of one meter, by tier and variant as a price."""

    cost = models.ForeignKey(RouteCost, on_delete=models.PROTECT, related_name="prices")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cost", "meter", "from_input_tokens", "variant"], name="one_route_cost_per_meter"
            ),
            models.CheckConstraint(condition=Q(from_input_tokens__gte=0), name="route_cost_tier_not_negative"),
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="route_cost_not_negative"),
            models.CheckConstraint(condition=Q(per_units__gte=1), name="route_cost_per_one_unit_or_more"),
        ]
