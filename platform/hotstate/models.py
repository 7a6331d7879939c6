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
