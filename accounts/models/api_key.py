from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.identifiers import key_id, secret_id
from accounts.key_terms import MOST_LISTED, KeyTerms
from accounts.models.limits import Limited, at_least_one
from accounts.models.organization import Organization
from hotstate.records import Budgets, KeyRecord


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def with_budgets(self) -> Self:
        return self.exclude(
            budget_day_nanos=None, budget_week_nanos=None, budget_month_nanos=None, budget_total_nanos=None
        )

    def usable(self, now: datetime) -> Self:
        """Neither revoked nor expired."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), revoked_at=None)


class ApiKey(Limited):
    """A stable identity that outlives its secrets. What it may do is here; what proves it is in `ApiKeySecret`."""

    public_id = models.CharField(max_length=40, unique=True, default=key_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=80)
    scopes = ArrayField(models.CharField(max_length=40))
    # Public model ids or patterns with *; empty means every model.
    allowed_models = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    # CIDRs of clients; empty means every address.
    allowed_networks = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    # What may be spent by UTC day, ISO week, month and in all, nano-dollars; null is no limit.
    budget_day_nanos = models.PositiveBigIntegerField(null=True, blank=True)
    budget_week_nanos = models.PositiveBigIntegerField(null=True, blank=True)
    budget_month_nanos = models.PositiveBigIntegerField(null=True, blank=True)
    budget_total_nanos = models.PositiveBigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    version = models.BigIntegerField(default=1, editable=False)
    # The newest version that Valkey is known to have, and by its clock when it had it.
    published_version = models.BigIntegerField(default=0, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    # The form that asked for it: sent again, it makes no second key.
    operation_id = models.UUIDField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="api_key_by_organization")]
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="api_key_has_a_name"),
            models.UniqueConstraint(fields=["organization", "operation_id"], name="one_api_key_per_operation"),
            models.CheckConstraint(condition=models.Q(allowed_models__len__lte=MOST_LISTED), name="api_key_models"),
            models.CheckConstraint(condition=models.Q(allowed_networks__len__lte=MOST_LISTED), name="api_key_networks"),
            *at_least_one("api_key"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"

    def get_absolute_url(self) -> str:
        return f"/o/{self.organization.public_id}/keys/{self.public_id}/"

    def record(self) -> KeyRecord:
        """As the inference path sees it. `organization` and `secrets` should be prefetched."""
        return KeyRecord(
            key=self.public_id,
            org=self.organization.public_id,
            version=self.version,
            revoked=self.revoked_at is not None,
            expires_ms=milliseconds(self.expires_at),
            scopes=frozenset(self.scopes),
            models=frozenset(self.allowed_models),
            networks=frozenset(self.allowed_networks),
            limits=self.limits,
            budgets=self.budgets,
            secrets={
                secret.digest.hex(): (secret.public_id, milliseconds(secret.lapses_at)) for secret in self.secrets.all()
            },
        )

    @property
    def terms(self) -> KeyTerms:
        """What it may do, as people set it."""
        return KeyTerms(
            name=self.name,
            scopes=self.scopes,
            allowed_models=self.allowed_models,
            allowed_networks=self.allowed_networks,
            expires_at=self.expires_at,
            limits=self.limits,
            budgets=self.budgets,
        )

    @property
    def budgets(self) -> Budgets:
        return Budgets(
            day=self.budget_day_nanos,
            week=self.budget_week_nanos,
            month=self.budget_month_nanos,
            total=self.budget_total_nanos,
        )

    @property
    def in_force(self) -> bool:
        """Whether every gateway decides by what is stored here."""
        return self.published_version >= self.version

    def state(self, now: datetime) -> str:
        """`revoked`, `expired` or `active`: as the console words it."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "active"


class ApiKeySecret(models.Model):
    """What a client shows to prove that it holds a key: stored as a peppered digest, shown once."""

    public_id = models.CharField(max_length=40, unique=True, default=secret_id, editable=False)
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="secrets")
    digest = models.BinaryField(unique=True, max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    prefix = models.CharField(max_length=20, blank=True)
    # Empty where only the hash was imported.
    last4 = models.CharField(max_length=4, blank=True)
    imported = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    # When rotation lets it lapse; null while it is the current one.
    lapses_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # The console finds keys by it.
        indexes = [models.Index(fields=["last4"], name="secret_by_last4")]
        constraints = [
            models.UniqueConstraint(
                fields=["api_key"], condition=models.Q(lapses_at=None), name="one_current_secret_per_api_key"
            )
        ]

    def __str__(self) -> str:
        return self.hint

    @property
    def hint(self) -> str:
        """All that is known of the secret after it was shown: prefix and last four, or that it was imported."""
        if self.imported:
            return f"{self.prefix}…{self.last4}" if self.last4 else "imported"
        return f"{self.prefix}-…{self.last4}"


def milliseconds(moment: datetime | None) -> int | None:
    """Unix time in whole milliseconds."""
    return None if moment is None else int(moment.timestamp() * 1000)
