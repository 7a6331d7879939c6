"""What an organization had, got and used in a period, as it was drawn: never edited."""

from django.db import models
from django.db.models import F, Q

from accounts.models import Organization
from billing.models.ledger import LedgerTransaction


class Section(models.TextChoices):
    """What a line of a statement is of, in the order of reading; a transaction's kind where nothing else is said."""

    TOP_UP = "top_up", "Top-ups"
    GRANT = "grant", "Credit"
    FEE = "fee", "Fees"
    USAGE = "usage", "Usage"
    LATE_USAGE = "late_usage", "Usage of earlier days"
    CORRECTION = "correction", "Corrections of usage"
    ADJUSTMENT = "adjustment", "Adjustments"
    REFUND = "refund", "Refunds"
    DISPUTE = "dispute", "Disputes"
    EXPIRY = "expiry", "Expired credit"


class Statement(models.Model):
    """All ledger transactions of an organization up to the id `last_transaction` and the UTC day `through`, less those
    of the statement before. Nano-dollars; `opening + Σ lines = closing`, and the next one opens with that.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="statements", db_index=False)
    # 1, 2, 3, … of the organization, without gaps.
    number = models.PositiveIntegerField()
    first_day = models.DateField()
    through = models.DateField()
    last_transaction = models.BigIntegerField()
    # No transaction with a smaller id is left for later statements.
    open_from = models.BigIntegerField()
    opening_nanos = models.BigIntegerField()
    closing_nanos = models.BigIntegerField()
    line_count = models.PositiveIntegerField()
    # Whom it is made out to, line by line.
    billed_to: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    drawn_at = models.DateTimeField()
    # Who asked for it; null is the night after the month.
    drawn_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["organization_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="statements_are_numbered"),
            models.UniqueConstraint(fields=["organization", "through"], name="one_statement_through_a_day"),
            models.CheckConstraint(condition=Q(number__gte=1), name="statements_begin_with_one"),
            models.CheckConstraint(condition=Q(through__gte=F("first_day")), name="statement_has_a_period"),
        ]

    def __str__(self) -> str:
        return f"statement {self.number} of {self.organization_id}"


class StatementLine(models.Model):
    """One line: an amount seen from the customer, credit positive. Texts are as they were when it was drawn."""

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines", db_index=False)
    # 1, 2, 3, … in the order of reading.
    place = models.PositiveIntegerField()
    section = models.CharField(max_length=12, choices=Section.choices)
    # Null for usage, which is of the whole period.
    day = models.DateField(null=True)
    text = models.CharField(max_length=300, blank=True)
    # Of the one transaction that it tells, if it is one.
    transaction = models.ForeignKey(
        LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    # Of usage: public ids, and the key's name.
    model = models.CharField(max_length=200, blank=True)
    api_key = models.CharField(max_length=40, blank=True)
    key_name = models.CharField(max_length=80, blank=True)
    events = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    amount_nanos = models.BigIntegerField()

    class Meta:
        ordering = ["place"]
        constraints = [models.UniqueConstraint(fields=["statement", "place"], name="statement_lines_in_order")]

    def __str__(self) -> str:
        return f"{self.section} {self.amount_nanos}"
