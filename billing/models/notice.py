"""What people are told by mail, each once, and who wants to be told what."""

from typing import Any

from django.db import models
from django.db.models import F, Q

from accounts.models import Membership, Organization


class NoticeKind(models.TextChoices):
    LOW_BALANCE = "low_balance", "Low balance"
    KEY_BUDGET = "key_budget", "Key near its budget"
    KEY_EXPIRY = "key_expiry", "Key about to expire"
    PLAN = "plan", "Plan renewed or failed"
    PRICE_CHANGE = "price_change", "Prices and models that change"
    RECEIPT = "receipt", "Receipts"
    REFUND = "refund", "Refunds"
    DISPUTE = "dispute", "Disputed payments"
    CARD = "card", "Payments by saved card"


class BalanceThreshold(models.Model):
    """An organization wants to be told when its balance falls below this; nano-dollars."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    nanos = models.BigIntegerField()
    # Whether the balance was at or above it when last looked at.
    armed = models.BooleanField(default=True)
    # How often the balance fell below it.
    crossings = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-nanos"]
        constraints = [models.UniqueConstraint(fields=["organization", "nanos"], name="one_threshold_per_amount")]

    def __str__(self) -> str:
        return f"{self.organization_id} below {self.nanos}"


class NoticeChoice(models.Model):
    """A member wants a kind of notice, or doesn't. Without one, what the role says goes: billing.notices.kinds."""

    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=NoticeKind.choices)
    wanted = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["membership", "kind"], name="one_choice_per_kind_of_notice")]

    def __str__(self) -> str:
        return f"{self.membership_id}: {self.kind} {self.wanted}"


class Notice(models.Model):
    """Something that people are told. Its row comes first, and there is one: so it is told once."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=NoticeKind.choices)
    # What it is about, and which time: a key, a window and a share of its budget, say.
    subject = models.CharField(max_length=200)
    # What the mail says: nano-dollars, moments as ISO 8601, words.
    facts: "models.JSONField[dict[str, Any], dict[str, Any]]" = models.JSONField(default=dict)
    noticed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "kind", "subject"], name="told_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class NoticeMail(models.Model):
    """A notice on its way to one person. Sent while its row is locked, so that it goes out once."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="mails", db_index=False)
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="+")
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(F("id"), condition=Q(sent_at=None), name="notices_to_mail")]
        constraints = [models.UniqueConstraint(fields=["notice", "membership"], name="one_mail_per_person")]

    def __str__(self) -> str:
        return f"{self.notice_id} to {self.membership_id}"


class NoticeWatch(models.Model):
    """Up to which version of its balance an organization's budgets were looked at."""

    organization = models.OneToOneField(Organization, primary_key=True, on_delete=models.CASCADE, related_name="+")
    balance_version = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.balance_version}"
