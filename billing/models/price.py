from datetime import datetime

from django.db import models
from django.db.models import Q

from billing.models.unit_price import UnitPriceRow
from catalog.models import Model


class PriceVersionQuerySet(models.QuerySet["PriceVersion"]):
    def standing(self) -> "PriceVersionQuerySet":
        """Those that no other version superseded."""
        return self.filter(superseded_at=None)

    def of_list(self, price_list: "PriceList | None") -> "PriceVersionQuerySet":
        """Those of a price list; None is the public one."""
        return self.filter(price_list=price_list)

    def in_force(self, now: datetime, price_list: "PriceList | None" = None) -> "PriceVersionQuerySet":
        """The one version of each model that a price list, or the public one, has for this moment."""
        begun = self.standing().of_list(price_list).filter(effective_from__lte=now)
        return begun.order_by("model_id", "-effective_from").distinct("model_id")


class PriceList(models.Model):
    """Own prices of a plan or of an organization. What it has no price of costs what the public list says."""

    name = models.CharField(max_length=80, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PriceVersion(models.Model):
    """An immutable set of unit prices of one model, valid from a moment until the next version's of the same list.

    A wrong one is superseded by another for the same time; the database refuses every other change.
    """

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="price_versions")
    # Null is the public list. A version of another list without prices ends that list's own price of the model.
    price_list = models.ForeignKey(PriceList, null=True, on_delete=models.PROTECT, related_name="versions")
    # [{"days": [0, …, 6], Monday first, "from": "16:30", "to": "00:30", UTC, "basis_points": 5000}]
    off_peak = models.JSONField(default=list)
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
                fields=["model", "price_list", "effective_from"],
                condition=Q(superseded_at=None),
                nulls_distinct=False,
                name="price_versions_do_not_overlap",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d %H:%M:%S}"


class Price(UnitPriceRow):
    """Nano-dollars per so many units of one meter: of every request, of those with so much input, of a variant."""

    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="prices")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "meter", "from_input_tokens", "variant"], name="one_price_per_meter"
            ),
            models.CheckConstraint(condition=Q(from_input_tokens__gte=0), name="price_tier_not_negative"),
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="price_not_negative"),
            models.CheckConstraint(condition=Q(per_units__gte=1), name="price_per_one_unit_or_more"),
        ]
