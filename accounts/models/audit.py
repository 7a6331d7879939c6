from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models

from accounts.models.api_key import ApiKey
from accounts.models.organization import Organization
from accounts.models.user import User

# Who acts: a person, an API key with the scope for it, or nobody but the system.
Actor = User | ApiKey | None


class AuditEntry(models.Model):
    """Who did what, to what, before and after. The database refuses to change or delete one."""

    at = models.DateTimeField(db_index=True)
    actor = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    # Where an API key did it, over the management API.
    actor_key = models.ForeignKey(ApiKey, null=True, on_delete=models.PROTECT, related_name="+")
    organization = models.ForeignKey(Organization, null=True, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=120)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    staff = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["organization", "-id"], name="audit_by_organization")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_key or self.actor}: {self.action} {self.target}"


def record(
    action: str,
    target: str,
    *,
    actor: Actor,
    now: datetime,
    organization: Organization | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Append an entry to the audit trail, in the caller's transaction. Values are JSON or moments; never a secret."""
    entry = _entry(action, target, actor, now, organization, before or {}, after or {}, reason)
    entry.save(force_insert=True)
    return entry


def record_all(
    entries: Iterable[tuple[str, str, dict[str, Any], dict[str, Any]]], *, actor: Actor, reason: str, now: datetime
) -> None:
    """As `record`, many at once: (action, target, before, after)."""
    AuditEntry.objects.bulk_create(
        _entry(action, target, actor, now, None, before, after, reason) for action, target, before, after in entries
    )


def _entry(
    action: str,
    target: str,
    actor: Actor,
    now: datetime,
    organization: Organization | None,
    before: dict[str, Any],
    after: dict[str, Any],
    reason: str,
) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=person(actor),
        actor_key=actor if isinstance(actor, ApiKey) else None,
        staff=isinstance(actor, User) and actor.is_staff,
        organization=organization,
        action=action,
        target=target[:120],
        before=_plain(before),
        after=_plain(after),
        reason=reason,
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def person(actor: Actor) -> User | None:
    """Who it was, where it was a person."""
    return actor if isinstance(actor, User) else None
