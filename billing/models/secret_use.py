from django.db import models

from accounts.models import ApiKey, ApiKeySecret


class SecretUse(models.Model):
    """Requests with one secret of an API key in one hour, and when the last of them was admitted."""

    # Like an event's: checked by the worker, not by the database.
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    # Null where the gateway doesn't say which.
    secret = models.ForeignKey(
        ApiKeySecret, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    hour = models.DateTimeField()
    events = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["api_key", "hour", "secret"], name="one_use_per_secret_and_hour", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.events} requests, the last at {self.last_at}"
