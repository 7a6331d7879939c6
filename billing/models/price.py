from datetime import datetime

from django.db import models
from django.db.models import Q

from billing.meters import METERS
from catalog.models import Model


class PriceVersionQuerySet(models.QuerySet["PriceVersion"]):
    def standing(self) -> "PriceVersionQuerySet":
        """Those that no other version superseded."""
        return self.filter(superseded_at=None)

    def in_force(self, now: datetime) -> "PriceVersionQuerySet":
        """The one version of each model that prices a request of this moment."""
        return (
            self.standing().filter(effective_from__lte=now).order_by("model_id", "-effective_from").distinct("model_id")
        )


class PriceVersion(models.Model):
    """An immutable set of unit prices of one model, valid from a moment until the next version's.

    A wrong one is superseded by another for the same time; the database refuses every other change.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="price_versions")
    effective_from = models.DateTimeField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    superseded_at = models.DateTimeField(null=True, editable=False)
    # Of the turns (billing.turns) that brought and superseded a version for a time that is over; else null.
    since_number = models.BigIntegerField(null=True, editable=False)
    until_number = models.BigIntegerField(null=True, editable=False)

    objects = PriceVersionQuerySet.as_manager()

    class Meta:
        ordering = ["model_id", "-effective_from"]
        constraints = [
            # In force is the latest start that has come, so versions overlap only where two start together.
            models.UniqueConstraint(
                fields=["model", "effective_from"],
                condition=Q(superseded_at=None),
                name="price_versions_do_not_overlap",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d %H:%M:%S}"


class Price(models.Model):
    """Nano-dollars per so many units of one meter."""

    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="prices")
    meter = models.CharField(max_length=24, choices=[(meter, meter) for meter in METERS])
    amount_nanos = models.BigIntegerField()
    per_units = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "meter"], name="one_price_per_meter"),
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="price_not_negative"),
            models.CheckConstraint(condition=Q(per_units__gte=1), name="price_per_one_unit_or_more"),
        ]

    def __str__(self) -> str:
        return f"{self.meter}: {self.amount_nanos} / {self.per_units}"
