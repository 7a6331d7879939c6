from django.db import models

from billing.meters import METERS


class UnitPriceRow(models.Model):
    """Nano-dollars per so many units of one meter: of every request, of those with so much input, of a variant."""

    meter = models.CharField(max_length=24, choices=[(meter, meter) for meter in METERS])
    # A tier: it prices requests with so many input tokens or more, whole.
    from_input_tokens = models.BigIntegerField(default=0)
    # Such as 1024x1024-hd; empty is any.
    variant = models.CharField(max_length=60, blank=True)
    amount_nanos = models.BigIntegerField()
    per_units = models.BigIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.meter}: {self.amount_nanos} / {self.per_units}"
