"""Codes that staff hand out, and who redeemed them."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper

from accounts.models import Organization
from billing.models.ledger import LedgerTransaction
from billing.models.payment import TopUp


class PromotionCode(models.Model):
    """Credit for whoever knows the code: once per organization, and no more often than `uses_most`. Nano-dollars."""

    # In capitals: small ones are the same code.
    code = models.CharField(max_length=40, unique=True)
    nanos = models.BigIntegerField()
    # What it is for, for staff.
    note = models.CharField(max_length=200, blank=True)
    first_top_up_only = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)
    # How long the credit lasts; without, it doesn't expire.
    credit_days = models.PositiveIntegerField(null=True)
    uses = models.PositiveIntegerField(default=0)
    uses_most = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(nanos__gt=0), name="promotion_gives_something"),
            models.CheckConstraint(condition=Q(code=Upper("code")) & ~Q(code=""), name="promotion_code_in_capitals"),
            models.CheckConstraint(
                condition=Q(uses_most=None) | Q(uses__lte=F("uses_most")), name="promotion_not_used_too_often"
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def used_up(self) -> bool:
        return self.uses_most is not None and self.uses >= self.uses_most


class PromotionRedemption(models.Model):
    """An organization has the credit of a code."""

    code = models.ForeignKey(PromotionCode, on_delete=models.PROTECT, related_name="redemptions", db_index=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    redeemed_at = models.DateTimeField()
    transaction = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, related_name="redemption")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code", "organization"], name="one_redemption_per_organization")]

    def __str__(self) -> str:
        return f"{self.code_id} by {self.organization_id}"


class PromotionPromise(models.Model):
    """A code that was typed when a top-up began: redeemed once that is paid, if it still can be."""

    top_up = models.OneToOneField(TopUp, on_delete=models.PROTECT, related_name="promise")
    code = models.ForeignKey(PromotionCode, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"{self.code_id} with {self.top_up_id}"
