from django.db import models
from django.db.models import F, Q

from billing.models.segment import Segment


class UsageSource(models.Model):
    """Who writes usage, by the name in its lines, and how far its numbers have come."""

    name = models.CharField(max_length=80, unique=True)
    # The highest number seen; 0 where it has none.
    last_seq = models.BigIntegerField(default=0)
    last_segment = models.ForeignKey(Segment, null=True, on_delete=models.PROTECT, related_name="+")
    first_received_at = models.DateTimeField()
    last_received_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class SequenceGapQuerySet(models.QuerySet["SequenceGap"]):
    def open(self) -> "SequenceGapQuerySet":
        """Neither filled nor explained: nobody knows what was in these lines."""
        return self.filter(filled_at=None, explained_at=None)


class SequenceGap(models.Model):
    """Numbers of a source that never came. Lines that come later fill the gap, or a person explains it."""

    source = models.ForeignKey(UsageSource, on_delete=models.PROTECT, related_name="gaps")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    found_at = models.DateTimeField()
    filled_at = models.DateTimeField(null=True)
    explained_at = models.DateTimeField(null=True)
    explanation = models.CharField(max_length=300, blank=True)

    objects = SequenceGapQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(first__lte=F("last")), name="gap_is_not_empty")]
        indexes = [
            models.Index(fields=["source", "first"], condition=Q(filled_at=None), name="gaps_not_filled"),
            models.Index(fields=["found_at"], condition=Q(filled_at=None, explained_at=None), name="gaps_open"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.first} to {self.last}"
