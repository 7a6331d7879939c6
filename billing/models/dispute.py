"""Payments that banks take back, or ask about."""

from django.db import models
from django.db.models import F, Q

from accounts.identifiers import public_id
from accounts.models import Organization
from billing.models.ledger import LedgerTransaction
from billing.models.payment import TopUp


def dispute_id() -> str:
    return public_id("dis")


class DisputeQuerySet(models.QuerySet["Dispute"]):
    def open(self) -> "DisputeQuerySet":
        return self.filter(closed_at=None)


class Dispute(models.Model):
    """A bank takes a payment back, or asks about it. `status` is Stripe's word."""

    public_id = models.CharField(max_length=40, unique=True, default=dispute_id)
    stripe_id = models.CharField(max_length=255, unique=True)
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="disputes")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=40)
    reason = models.CharField(max_length=60, blank=True)
    amount = models.BigIntegerField()
    nanos = models.BigIntegerField()
    opened_at = models.DateTimeField()
    # Until then staff can answer at Stripe.
    due_by = models.DateTimeField(null=True)
    noted_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    # Whether its organization was suspended for it. Once: what staff decide afterwards holds.
    suspended = models.BooleanField(default=False)
    looked_at = models.DateTimeField()
    look_at = models.DateTimeField(null=True)
    withdrawn = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="dispute")
    reinstated = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+")

    objects = DisputeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="disputes_by_organization"),
            models.Index(F("id"), condition=Q(closed_at=None), name="disputes_open"),
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="disputes_to_look_at"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0, nanos__gt=0), name="dispute_is_about_something"),
            models.CheckConstraint(
                condition=Q(reinstated=None) | Q(withdrawn__isnull=False), name="dispute_gives_back_what_it_took"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stripe_id} ({self.status})"

    @property
    def stands(self) -> bool:
        """Whether its money is gone."""
        return self.withdrawn_id is not None and self.reinstated_id is None
