from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import Organization
from billing.models.price import PriceList


class OrganizationTerms(models.Model):
    """What an organization buys at, from a moment until its next terms. Never edited: other terms are other rows.

    Of those that start together the last one counts. `billing.terms` makes them.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    effective_from = models.DateTimeField()
    own_price_list = models.ForeignKey(PriceList, null=True, on_delete=models.PROTECT, related_name="+")
    # Basis points off the public list's prices; null is what the plan gives.
    own_discount_bp = models.PositiveIntegerField(null=True)
    plan_price_list = models.ForeignKey(PriceList, null=True, on_delete=models.PROTECT, related_name="+")
    plan_discount_bp = models.PositiveIntegerField(null=True)
    # Ids or patterns with `*`; empty is every model.
    allowed_models = ArrayField(models.CharField(max_length=200), default=list)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index(fields=["organization", "effective_from", "id"], name="terms_by_start")]
        constraints = [
            models.CheckConstraint(condition=Q(effective_from__gte=F("created_at")), name="terms_start_ahead"),
            models.CheckConstraint(
                condition=(Q(own_discount_bp=None) | Q(own_discount_bp__lte=10_000))
                & (Q(plan_discount_bp=None) | Q(plan_discount_bp__lte=10_000)),
                name="terms_discount_at_most_all",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization} from {self.effective_from:%Y-%m-%d %H:%M:%S}"
