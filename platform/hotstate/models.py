from django.db import models


class OutboxEntry(models.Model):
    """A change that Valkey must see, written in the transaction that made it and deleted once Valkey has it."""

    class Kind(models.TextChoices):
        KEY = "key", "API key"
        ORGANIZATION = "organization", "Organization"
        BALANCE = "balance", "Balance"
        CATALOG = "catalog", "Catalog"
        GATEWAYS = "gateways", "Gateway credentials"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    record = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "outbox entries"

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class LapsedHoldQuerySet(models.QuerySet["LapsedHold"]):
    def open(self) -> "LapsedHoldQuerySet":
        """No event came for it, and nobody has said why."""
        return self.filter(posted_at=None, explained_at=None)


class LapsedHold(models.Model):
    """An open hold whose gateway went silent: a request that may have been served and not charged."""

    # Public ids, as Valkey has them.
    organization = models.CharField(max_length=40)
    request_id = models.CharField(max_length=40, unique=True)
    key = models.CharField(max_length=40)
    nanos = models.BigIntegerField()
    lapsed_at = models.DateTimeField()
    # Its event came after all.
    posted_at = models.DateTimeField(null=True)
    explained_at = models.DateTimeField(null=True)
    explanation = models.CharField(max_length=300, blank=True)

    objects = LapsedHoldQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["lapsed_at"], condition=models.Q(posted_at=None, explained_at=None), name="lapsed_holds_open"
            )
        ]

    def __str__(self) -> str:
        return self.request_id
