from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Organization
from billing.models.ledger import LedgerTransaction
from billing.models.price import PriceVersion
from billing.models.usage_event import Outcome


class Correction(models.Model):
    """What a person set right, why, and when. Never edited."""

    what = models.CharField(max_length=300)
    reason = models.CharField(max_length=300)
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.what


class EventCorrection(models.Model):
    """One event is charged otherwise. The latest says what it costs and why; the event itself is never edited."""

    correction = models.ForeignKey(Correction, on_delete=models.PROTECT, related_name="events")
    # The event may be in a detached partition, so nothing refers to it in the database.
    event_id = models.UUIDField()
    # 1 for the first correction of an event; each builds on the one before.
    number = models.PositiveSmallIntegerField()
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    event_day = models.DateField()
    # How the request ended, after all; empty where it is the event's own.
    outcome = models.CharField(max_length=20, choices=Outcome.choices, blank=True)
    usage = models.JSONField()
    price_version = models.ForeignKey(PriceVersion, null=True, on_delete=models.PROTECT, related_name="+")
    # Null where they are the event's own.
    multipliers = ArrayField(models.IntegerField(), null=True)
    old_charge_nanos = models.BigIntegerField()
    new_charge_nanos = models.BigIntegerField()
    # Null where the charges of what is corrected together came to the same.
    transaction = models.ForeignKey(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["event_day", "organization"], name="corrections_by_day")]
        constraints = [
            models.UniqueConstraint(fields=["event_id", "number"], name="corrections_in_order"),
            models.CheckConstraint(
                condition=Q(old_charge_nanos__gte=0, new_charge_nanos__gte=0), name="corrected_charge_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.old_charge_nanos} → {self.new_charge_nanos}"

    @property
    def difference_nanos(self) -> int:
        return self.new_charge_nanos - self.old_charge_nanos
