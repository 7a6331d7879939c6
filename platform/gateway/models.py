from django.contrib.postgres.fields import ArrayField
from django.db import models


class GatewayCredential(models.Model):
    """What a gateway shows to Keymeter: a peppered digest, and the sources that it may write usage as.

    A source pattern ends in `*` or is exact: `gw-*`.
    """

    name = models.CharField(max_length=80, unique=True)
    digest = models.BinaryField(unique=True, max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    last4 = models.CharField(max_length=4)
    sources = ArrayField(models.CharField(max_length=80))
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    def may_write(self, source: str) -> bool:
        """Whether usage of this source may come in under this credential."""
        return any(
            source == pattern or (pattern.endswith("*") and source.startswith(pattern[:-1])) for pattern in self.sources
        )
