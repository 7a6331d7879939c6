from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import ApiKey, ApiKeySecret, Organization
from billing.models.price import PriceVersion
from billing.models.rollup import RollupKind
from billing.models.segment import Segment
from catalog.models import Model, Route


class Outcome(models.TextChoices):
    COMPLETED = "completed", "Completed"
    CLIENT_DISCONNECTED = "client_disconnected", "Client disconnected"
    UPSTREAM_ERROR = "upstream_error", "Upstream error"
    REFUSED = "refused", "Refused by the upstream"
    TIMEOUT = "timeout", "Timed out"
    HOLD_EXHAUSTED = "hold_exhausted", "Balance used up"


def _to(model: type[models.Model], *, null: bool = False) -> "models.ForeignKey[models.Model, models.Model]":
    # Checked by the worker, not by the database: a million checks an hour would buy nothing.
    return models.ForeignKey(
        model, null=null, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class UsageEvent(models.Model):
    """One client request as metered. Partitioned by id: a UUIDv7 carries its day."""

    id = models.UUIDField(primary_key=True)
    time = models.DateTimeField()
    organization = _to(Organization)
    api_key = _to(ApiKey)
    secret = _to(ApiKeySecret, null=True)
    model = _to(Model)
    route = _to(Route, null=True)
    segment = _to(Segment)
    line = models.IntegerField()
    source = models.CharField(max_length=80)
    seq = models.BigIntegerField()
    endpoint = models.CharField(max_length=40)
    status = models.SmallIntegerField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    stream = models.BooleanField()
    estimated = models.BooleanField()
    variant = models.CharField(max_length=60)
    duration_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True)
    attempts = models.SmallIntegerField()
    upstream_request_id = models.CharField(max_length=200)
    usage = models.JSONField()
    price_version = _to(PriceVersion, null=True)
    multipliers = ArrayField(models.IntegerField(), default=list)
    charge_nanos = models.BigIntegerField()
    reason = models.CharField(max_length=40)
    kind = models.CharField(max_length=10, choices=RollupKind.choices)
    # Which version of our count made an estimated event; 0 for what the upstream reported.
    estimator = models.SmallIntegerField(default=0)

    class Meta:
        managed = False
        db_table = "billing_usageevent"

    def __str__(self) -> str:
        return str(self.id)
