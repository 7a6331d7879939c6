from django.db import models
from django.db.models import Q

from accounts.models import Organization
from billing.models.statement import Statement


class StatementOrder(models.Model):
    """A statement that somebody asked for: a worker draws it, or says why it can't be drawn."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="statement_orders")
    # The UTC day that it is to end on.
    through = models.DateField()
    asked_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    # When a worker last began; it may have been killed since.
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    statement = models.ForeignKey(Statement, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Why there is none, for those who asked.
    complaint = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(finished_at=None), name="one_statement_order_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None, statement=None, complaint="")
                | Q(finished_at__isnull=False, statement__isnull=False, complaint="")
                | Q(finished_at__isnull=False, statement=None) & ~Q(complaint=""),
                name="statement_order_ends_one_way",
            ),
        ]

    def __str__(self) -> str:
        return f"statement of {self.organization_id} through {self.through}"

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None
