from django.db import models
from django.db.models import F, Q

from accounts.models import Organization


class Account(models.TextChoices):
    """Credits are positive, debits negative: what a customer has is positive, what a customer owes negative."""

    CUSTOMER_CREDIT = "customer_credit", "Customer credit"
    RECEIVABLE = "receivable", "Receivable"
    CASH_STRIPE = "cash_stripe", "Cash at Stripe"
    REVENUE = "revenue", "Revenue"
    PROMOTIONS = "promotions", "Promotions"
    BREAKAGE = "breakage", "Breakage"
    FEES = "fees", "Fees"
    DISPUTES = "disputes", "Disputes"
    TAX_PAYABLE = "tax_payable", "Tax payable"


OF_ORGANIZATIONS = (Account.CUSTOMER_CREDIT, Account.RECEIVABLE)


class TransactionKind(models.TextChoices):
    USAGE = "usage", "Usage"
    GRANT = "grant", "Credit"
    ADJUSTMENT = "adjustment", "Adjustment"
    TOP_UP = "top_up", "Top-up"
    REFUND = "refund", "Refund"
    DISPUTE = "dispute", "Dispute"
    FEE = "fee", "Fee"
    EXPIRY = "expiry", "Expiry"
    CORRECTION = "correction", "Correction"


class LedgerTransaction(models.Model):
    """Balanced entries that moved money. Never edited: a correction is another one that names what it corrects."""

    operation_key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=12, choices=TransactionKind.choices)
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.PROTECT, related_name="ledger_transactions"
    )
    event_day = models.DateField()
    posted_at = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    corrects = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="corrections")

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="ledger_by_organization")]

    def __str__(self) -> str:
        return self.operation_key


class LedgerEntry(models.Model):
    """One side of a transaction, in nano-dollars; those of a transaction sum to zero."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    account = models.CharField(max_length=16, choices=Account.choices)
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    amount_nanos = models.BigIntegerField()
    event_day = models.DateField()
    posted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["organization", "account"], name="entries_by_account")]
        constraints = [
            models.CheckConstraint(
                condition=Q(account__in=OF_ORGANIZATIONS, organization__isnull=False)
                | (~Q(account__in=OF_ORGANIZATIONS) & Q(organization__isnull=True)),
                name="entry_names_its_organization",
            ),
            models.CheckConstraint(condition=~Q(amount_nanos=0), name="entry_moves_something"),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount_nanos}"


class Balance(models.Model):
    """What an organization has, in nano-dollars: its materialised accounts. Written by billing.ledger alone."""

    organization = models.OneToOneField(
        Organization, primary_key=True, on_delete=models.PROTECT, related_name="balance"
    )
    credit_nanos = models.BigIntegerField(default=0)
    debt_nanos = models.BigIntegerField(default=0)
    # Grows with every posting: Valkey takes a newer one only.
    version = models.BigIntegerField(default=0)
    nanos = models.GeneratedField(
        expression=F("credit_nanos") - F("debt_nanos"), output_field=models.BigIntegerField(), db_persist=True
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(credit_nanos__gte=0), name="credit_not_negative"),
            models.CheckConstraint(condition=Q(debt_nanos__gte=0), name="debt_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.organization}: {self.nanos}"
