from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class SegmentQuerySet(models.QuerySet["Segment"]):
    def unposted(self) -> "SegmentQuerySet":
        return self.filter(posted_at=None)


class Segment(models.Model):
    """Usage lines that came in together: archived first, posted once. Its row is the fence of its posting."""

    class Origin(models.TextChoices):
        GATEWAY = "gateway", "Keymeter's gateway"
        API = "api", "Usage API"
        FILE = "file", "File"
        REPLAY = "replay", "Replay of quarantined lines"

    identity = models.CharField(max_length=200, unique=True)
    source = models.CharField(max_length=80)
    # Whose usage its sender may write, as it was then: public ids, and none means everybody's.
    organizations = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    origin = models.CharField(max_length=8, choices=Origin.choices)
    path = models.CharField(max_length=300)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True)
    # The posting's place among postings and turns (billing.turns).
    number = models.BigIntegerField(null=True)
    lines = models.IntegerField(default=0)
    new = models.IntegerField(default=0)
    duplicate = models.IntegerField(default=0)
    quarantined = models.IntegerField(default=0)
    first_seq = models.BigIntegerField(null=True)
    last_seq = models.BigIntegerField(null=True)

    objects = SegmentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(posted_at=None), name="segments_to_post")]
        constraints = [
            models.CheckConstraint(
                condition=Q(lines=F("new") + F("duplicate") + F("quarantined")),
                name="segment_accounts_for_every_line",
            )
        ]

    def __str__(self) -> str:
        return self.identity


class QuarantineReason(models.TextChoices):
    TORN = "torn", "Torn line"
    MALFORMED = "malformed", "Malformed line"
    UNKNOWN_KEY = "unknown_key", "Unknown API key"
    WRONG_ORGANIZATION = "wrong_organization", "The key belongs to another organization"
    FOREIGN_ORGANIZATION = "foreign_organization", "The sender may not write for this organization"
    UNKNOWN_MODEL = "unknown_model", "Unknown model"
    UNPRICED = "unpriced", "No price in force"
    WRONG_SOURCE = "wrong_source", "Not the sender's source"
    IMPLAUSIBLE = "implausible", "A charge that no request can have"
    TOO_EARLY = "too_early", "More than five minutes ahead"
    TOO_OLD = "too_old", "Older than the oldest partition"


class QuarantinedLine(models.Model):
    """A line that could not be charged. It waits for a person, and is replayed as a segment of its own."""

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="quarantined_lines")
    line = models.IntegerField()
    reason = models.CharField(max_length=20, choices=QuarantineReason.choices)
    detail = models.CharField(max_length=300, blank=True)
    raw = models.BinaryField()
    resolved_at = models.DateTimeField(null=True)
    replay = models.ForeignKey(Segment, null=True, on_delete=models.PROTECT, related_name="replayed_lines")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["segment", "line"], name="line_quarantined_once")]

    def __str__(self) -> str:
        return f"{self.segment} line {self.line}: {self.reason}"
