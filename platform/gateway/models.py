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
