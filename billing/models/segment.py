from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class SegmentQuerySet(models.QuerySet["Segment"]):
    def unposted(self) -> "SegmentQuerySet":
        return self.filter(posted_at=None)

    def unnoted(self) -> "SegmentQuerySet":
        """Posted, and its numbers not yet among those of its source."""
        return self.filter(noted_at=None, posted_at__isnull=False)


class Segment(models.Model):
    """Usage lines that came in together: archived first, posted once. Its row is the fence of its posting."""

    class Origin(models.TextChoices):
        GATEWAY = "gateway", "Keymeter's gateway"
        API = "api", "Usage API"
        FILE = "file", "File"
        REPLAY = "replay", "Replay of quarantined lines"

    identity = models.CharField(max_length=200, unique=True)
    source = models.CharField(max_length=80)
    # The gateway credential that sent it, by name; empty for files and replays, which staff made.
    sent_by = models.CharField(max_length=80, blank=True)
    # Of what was sent, before adapters read it and without compression; empty for what gateways ship.
    sent_sha256 = models.CharField(max_length=64, blank=True)
    # Of FORMATS.
    format = models.CharField(max_length=20, default="keymeter")
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
    # `new` by event day: {"2026-03-10": 3}. Events that are detached are proved by it.
    new_by_day = models.JSONField(default=dict, blank=True)
    # Records that are no usage, such as Keymeter's own refusals in a log: not archived, not among the lines.
    skipped = models.IntegerField(default=0)
    first_seq = models.BigIntegerField(null=True)
    last_seq = models.BigIntegerField(null=True)
    # All numbers of its source that came with it, as ranges: first, last, first, last, …
    seq_ranges = ArrayField(models.BigIntegerField(), default=list, blank=True)
    noted_at = models.DateTimeField(null=True)

    objects = SegmentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(posted_at=None), name="segments_to_post"),
            models.Index(fields=["id"], condition=Q(noted_at=None), name="segments_to_note"),
            models.Index(fields=["source", "-id"], name="segments_by_source"),
        ]
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
    IMPLAUSIBLE = "implausible", "Counts or a charge that no request can have"
    DIFFERS = "differs", "Another line with this id is charged"
    TOO_EARLY = "too_early", "More than five minutes ahead"
    TOO_OLD = "too_old", "Older than the oldest partition"


class QuarantinedLineQuerySet(models.QuerySet["QuarantinedLine"]):
    def open(self) -> "QuarantinedLineQuerySet":
        return self.filter(resolved_at=None)


class QuarantinedLine(models.Model):
    """A line that could not be charged. It waits for a person, and is replayed as a segment of its own."""

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="quarantined_lines")
    line = models.IntegerField()
    # How many lines it stands for: of many that nobody can read only the first ones are kept one by one.
    lines = models.IntegerField(default=1, db_default=1)
    reason = models.CharField(max_length=20, choices=QuarantineReason.choices)
    detail = models.CharField(max_length=300, blank=True)
    raw = models.BinaryField()
    resolved_at = models.DateTimeField(null=True)
    replay = models.ForeignKey(
        Segment, null=True, on_delete=models.PROTECT, db_index=False, related_name="replayed_lines"
    )
    # Why it was discarded, or changed before it was replayed.
    note = models.CharField(max_length=300, blank=True)

    objects = QuarantinedLineQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["reason", "id"], condition=Q(resolved_at=None), name="quarantine_open"),
            models.Index(fields=["replay"], condition=Q(replay__isnull=False), name="quarantine_by_replay"),
        ]
        constraints = [models.UniqueConstraint(fields=["segment", "line"], name="line_quarantined_once")]

    def __str__(self) -> str:
        return f"{self.segment} line {self.line}: {self.reason}"
