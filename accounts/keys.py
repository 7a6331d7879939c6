"""Creating, rotating and revoking API keys."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import secrets
from accounts.models import ApiKey, ApiKeySecret, Organization, User, audit
from hotstate import outbox


class AlreadyCreated(Exception):
    """The operation made this key before; its secret can't be learned again."""

    def __init__(self, key: ApiKey) -> None:
        super().__init__(str(key))
        self.key = key


def create_key(
    organization: Organization,
    *,
    name: str,
    scopes: list[str],
    allowed_models: list[str],
    expires_at: datetime | None,
    actor: User | None,
    now: datetime,
    operation_id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which nobody can learn again.

    Raises AlreadyCreated where the organization has a key by this `operation_id`, also if it is made just now.
    """
    secret = secrets.generate(settings.KEY_PREFIX)
    with transaction.atomic():
        key = ApiKey(
            organization=organization,
            name=name,
            scopes=sorted(scopes),
            allowed_models=sorted(allowed_models),
            expires_at=expires_at,
            created_by=actor,
            created_at=now,
            operation_id=operation_id,
        )
        _insert(key)
        _add_secret(key, secret, now)
        after = {"name": name, "scopes": key.scopes, "models": key.allowed_models, "expires_at": _iso(expires_at)}
        audit.record("key.create", key.public_id, actor=actor, organization=organization, after=after, now=now)
        outbox.add([key.record()], now=now)
    return key, secret.text


class NotRotated(Exception):
    """The key was revoked, or rotated since the caller looked."""


def rotate_key(key: ApiKey, *, replacing: str, overlap: timedelta, actor: User | None, now: datetime) -> str:
    """Give the key a new secret and return it; the one that it replaces (by public id) lapses after the overlap.

    The key's id, usage, limits and budgets go on. Raises NotRotated where `replacing` isn't the current secret.
    """
    secret = secrets.generate(settings.KEY_PREFIX)
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
        current = ApiKeySecret.objects.filter(api_key=locked, lapses_at=None, public_id=replacing)
        if locked.revoked_at or not current.update(lapses_at=now + overlap):
            raise NotRotated
        _add_secret(locked, secret, now)
        locked.version += 1
        locked.save(update_fields=["version"])
        audit.record(
            "key.rotate",
            key.public_id,
            actor=actor,
            organization=locked.organization,
            before={"secret": replacing},
            after={"overlap_seconds": int(overlap.total_seconds())},
            now=now,
        )
        outbox.add([locked.record()], now=now)
    return secret.text


def revoke_key(key: ApiKey, *, actor: User | None, now: datetime, reason: str = "") -> None:
    """Revoke for good. Returns once Valkey has it: from then on every gateway refuses.

    Raises hotstate.errors.Unreachable where Valkey can't be reached; the revocation is stored, and gateways answer
    503 meanwhile. Revoking twice is once.
    """
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
        if locked.revoked_at is None:
            locked.revoked_at, locked.revoked_by = now, actor
            locked.version += 1
            locked.save(update_fields=["revoked_at", "revoked_by", "version"])
            audit.record(
                "key.revoke",
                key.public_id,
                actor=actor,
                organization=locked.organization,
                before={"name": locked.name},
                reason=reason,
                now=now,
            )
        entries = outbox.add([locked.record()], now=now)
    outbox.require_delivered(entries)
    key.refresh_from_db()


def _insert(key: ApiKey) -> None:
    """The constraint decides who is first: an insert waits for another of the same operation."""
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:
        made = key.organization.api_keys.filter(operation_id=key.operation_id) if key.operation_id else None
        if made is None or not (known := made.select_related("organization").first()):
            raise
        raise AlreadyCreated(known) from error


def _add_secret(key: ApiKey, secret: secrets.NewSecret, now: datetime) -> None:
    ApiKeySecret.objects.create(
        api_key=key,
        digest=secret.digest,
        pepper_id=secret.pepper_id,
        prefix=secret.prefix,
        last4=secret.last4,
        created_at=now,
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
