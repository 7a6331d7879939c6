from django.db import models
from django.db.models import F, Q

from accounts.models import Organization
from billing.models.ledger import LedgerTransaction


class CreditGrant(models.Model):
    """Money with a source, a priority and perhaps an expiry. Burns by priority, then soonest expiry, then id."""

    class Source(models.TextChoices):
        SIGN_UP = "sign_up", "Free starting balance"
        TOP_UP = "top_up", "Top-up"
        PLAN = "plan", "Plan"
        PROMOTION = "promotion", "Promotion"
        ADJUSTMENT = "adjustment", "Adjustment"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="grants")
    source = models.CharField(max_length=12, choices=Source.choices)
    priority = models.PositiveSmallIntegerField()
    amount_nanos = models.BigIntegerField()
    remaining_nanos = models.BigIntegerField()
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    transaction = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, related_name="grant")

    class Meta:
        indexes = [
            models.Index(
                F("organization"),
                F("priority"),
                F("expires_at"),
                F("id"),
                condition=Q(remaining_nanos__gt=0),
                name="grants_in_burn_order",
            )
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gt=0), name="grant_gives_something"),
            models.CheckConstraint(
                condition=Q(remaining_nanos__gte=0, remaining_nanos__lte=F("amount_nanos")),
                name="grant_remainder_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_source_display()} {self.remaining_nanos} of {self.amount_nanos}"


class GrantBurn(models.Model):
    """What a transaction took from a grant; negative: gave back to it, as it was recorded. Never edited."""

    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="burns")
    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="burns")
    amount_nanos = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(amount_nanos=0), name="burn_takes_something")]

    def __str__(self) -> str:
        return f"{self.amount_nanos} of grant {self.grant_id}"
