from django.contrib.postgres.fields import ArrayField
from django.db import models


class ClosedDay(models.Model):
    """A UTC day to which no usage is added any more: what comes later is an adjustment.

    `sealed_at` is that moment; the figures follow, and then the row stays as it is. They are of the day's events of
    kind usage, and let the ledger and the sums be proved when the events are gone: see billing.closing.
    """

    day = models.DateField(primary_key=True)
    sealed_at = models.DateTimeField()
    # Of the turn that sealed it: postings with a greater one saw the day closed.
    number = models.BigIntegerField()
    # What hadn't reported by then, in words.
    missing = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    closed_at = models.DateTimeField(null=True)
    events = models.BigIntegerField(default=0)
    charge_nanos = models.BigIntegerField(default=0)
    charges_hash = models.CharField(max_length=64, blank=True)
    sums_hash = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.day}: {self.events} events, {self.charge_nanos} nano-dollars"
