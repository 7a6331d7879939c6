"""What Stripe and our rows say differently of a payment, until both say the same."""

from django.db import models
from django.db.models import F, Q

from billing.models.payment import TopUp


class PaymentDifference(models.Model):
    """Found by the night's comparison. Closed once both sides agree, by a repair or by themselves."""

    class Kind(models.TextChoices):
        PAYMENT = "payment", "Payment"
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Dispute"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    # Of what is at Stripe; or of our row, where nothing is there.
    stripe_id = models.CharField(max_length=255)
    top_up = models.ForeignKey(TopUp, null=True, on_delete=models.PROTECT, related_name="+")
    account = models.CharField(max_length=40, blank=True)
    livemode = models.BooleanField()
    # In words: what is there, and what is here.
    what = models.CharField(max_length=500)
    day = models.DateField()
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    # Nobody, where it went by itself.
    closed_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [models.Index(F("id"), condition=Q(closed_at=None), name="payment_differences_open")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "stripe_id"], condition=Q(closed_at=None), name="one_open_difference_per_object"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.stripe_id}: {self.what}"
