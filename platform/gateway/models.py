from django.contrib.postgres.fields import ArrayField
from django.db import models


class GatewayCredential(models.Model):
    """What a gateway shows to Keymeter: a peppered digest, the sources that it may write usage as, and for whom.

    A source pattern ends in `*` or is exact: `gw-*`. Organizations are public ids, and none means all: were they rows
    of a relation, the last one's deletion would open the credential to everybody.
    """

    name = models.CharField(max_length=80, unique=True)
    digest = models.BinaryField(unique=True, max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    last4 = models.CharField(max_length=4)
    sources = ArrayField(models.CharField(max_length=80), blank=True)
    organizations = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    created_at = models.DateTimeField()
    # To the minute or so.
    last_seen_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    def may_write(self, source: str) -> bool:
        """Whether usage of this source may come in under this credential."""
        return any(
            source == pattern or (pattern.endswith("*") and source.startswith(pattern[:-1])) for pattern in self.sources
        )

    def serves(self, organization: str) -> bool:
        """Whether it may ask about and write usage of this organization, a public id."""
        return not self.organizations or organization in self.organizations


class GatewayProcess(models.Model):
    """A gateway at work, by the source that it writes usage as. It says every few seconds that it lives."""

    name = models.CharField(max_length=80, unique=True)
    host = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "gateway processes"

    def __str__(self) -> str:
        return self.name


class UnfinishedWork(models.Model):
    """What an upstream goes on making after its request was answered: a response in the background, a video.

    Looked at until it has ended; then its usage line is written, by who finds `ending` empty. The row goes once the
    line is posted. Public ids, as Valkey has them.
    """

    request_id = models.UUIDField(unique=True)
    organization = models.CharField(max_length=40)
    key = models.CharField(max_length=40)
    # The endpoint, and the upstream's id.
    kind = models.CharField(max_length=40)
    upstream_id = models.CharField(max_length=512)
    model = models.CharField(max_length=200)
    route = models.BigIntegerField()
    held_nanos = models.BigIntegerField()
    # Of the usage line, what is known from the beginning.
    line = models.JSONField()
    # For our own count, and the units that were asked for.
    input_bytes = models.BigIntegerField()
    most_output = models.BigIntegerField()
    units = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    look_at = models.DateTimeField()
    # Outcome, usage, and whether that is our own count.
    ending = models.JSONField(null=True)
    ended_at = models.DateTimeField(null=True)
    # How often its line was written.
    logged = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "unfinished work"
        indexes = [
            models.Index(fields=["look_at"], name="unfinished_work_by_look"),
            models.Index(fields=["organization", "kind", "upstream_id"], name="unfinished_work_by_id"),
        ]

    def __str__(self) -> str:
        return self.upstream_id
