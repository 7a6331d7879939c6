"""Auto-recharge: an organization wants its balance refilled with the default card when it falls below an amount."""

from django.db import models
from django.db.models import F, Q

from accounts.models import Organization


class AutoRecharge(models.Model):
    """What was chosen, and how it goes; nano-dollars. Its attempts are top-ups. Locked while one begins or ends."""

    organization = models.OneToOneField(Organization, primary_key=True, on_delete=models.PROTECT, related_name="+")
    active = models.BooleanField(default=True)
    threshold_nanos = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()
    # In a calendar month, UTC.
    monthly_cap_nanos = models.BigIntegerField()
    # In a row, of a card that said no.
    failures = models.PositiveSmallIntegerField(default=0)
    # Nothing is tried before: set with each attempt, whatever becomes of it.
    not_before = models.DateTimeField()
    # Too many failures, or nothing to pay with: a person has to start it again.
    stopped_at = models.DateTimeField(null=True)
    stopped_why = models.CharField(max_length=300, blank=True)
    # When the month's limit last stood in the way.
    capped_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(
                fields=["not_before"], condition=Q(active=True, stopped_at=None), name="recharges_that_may_begin"
            )
        ]
        constraints = [
            models.CheckConstraint(condition=Q(threshold_nanos__gte=0), name="recharge_threshold_not_negative"),
            models.CheckConstraint(condition=Q(amount_nanos__gt=0), name="recharge_adds_something"),
            models.CheckConstraint(
                condition=Q(monthly_cap_nanos__gte=F("amount_nanos")), name="recharge_fits_into_a_month"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} below {self.threshold_nanos}"
