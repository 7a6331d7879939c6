"""Money that goes back through Stripe because staff want it to, here or in Stripe's dashboard."""

from django.db import models
from django.db.models import Q

from accounts.identifiers import public_id
from accounts.models import Organization
from billing.models.ledger import LedgerTransaction
from billing.models.payment import TopUp


def refund_id() -> str:
    return public_id("ref")


class Refund(models.Model):
    """Some of a top-up goes back. Of ours the row comes first, and its credit is taken with it, before Stripe is asked.

    One that failed has given back what it took, or took nothing.
    """

    class State(models.TextChoices):
        ASKED = "asked", "Asked for"
        PENDING = "pending", "On its way"
        DONE = "done", "Refunded"
        FAILED = "failed", "Failed"

    public_id = models.CharField(max_length=40, unique=True, default=refund_id)
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Nobody where it was made at Stripe.
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    # Of the form that asked for it: sent twice, it is one refund.
    request_id = models.UUIDField(null=True, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ASKED)
    # In the currency's smallest unit, and in nano-dollars.
    amount = models.BigIntegerField()
    nanos = models.BigIntegerField()
    reason = models.CharField(max_length=300, blank=True)
    stripe_id = models.CharField(max_length=255, null=True, unique=True)
    created_at = models.DateTimeField()
    looked_at = models.DateTimeField(null=True)
    # When Stripe is to be asked again; never, where nothing can come any more.
    look_at = models.DateTimeField(null=True)
    why = models.CharField(max_length=300, blank=True)
    transaction = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="refund")
    # What gave it back.
    returned = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="refunds_by_organization"),
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="refunds_to_look_at"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0, nanos__gt=0), name="refund_gives_back_something"),
            models.CheckConstraint(
                condition=(~Q(state="failed") & Q(transaction__isnull=False, returned=None))
                | Q(state="failed", transaction__isnull=False, returned__isnull=False)
                | Q(state="failed", transaction=None, returned=None),
                name="refund_is_in_the_ledger_unless_it_failed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["asked", "failed"]) | Q(stripe_id__isnull=False),
                name="refund_that_is_made_is_at_stripe",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.state})"

    @property
    def stands(self) -> bool:
        """Whether its money is gone, or on its way."""
        return self.state != Refund.State.FAILED


class PaymentMark(models.Model):
    """Up to when an account was asked at Stripe for refunds and disputes that nobody told us of."""

    account = models.CharField(max_length=40, blank=True)
    livemode = models.BooleanField()
    seen_until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "livemode"], name="one_mark_per_account_and_mode")]

    def __str__(self) -> str:
        return f"{self.account} until {self.seen_until}"
