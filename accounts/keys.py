"""Creating, changing, rotating and revoking API keys."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import secrets
from accounts.key_terms import NO_BUDGETS, NO_LIMITS, KeyTerms
from accounts.models import ApiKey, ApiKeySecret, Organization, audit
from accounts.models.audit import Actor
from hotstate import outbox
from hotstate.errors import Unreachable
from hotstate.records import Budgets, Limits


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
    actor: Actor,
    now: datetime,
    operation_id: UUID | None = None,
    allowed_networks: Sequence[str] = (),
    limits: Limits = NO_LIMITS,
    budgets: Budgets = NO_BUDGETS,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which nobody can learn again.

    Raises AlreadyCreated where the organization has a key by this `operation_id`, also if it is made just now.
    """
    secret = secrets.generate(settings.KEY_PREFIX)
    terms = KeyTerms(
        name=name,
        scopes=scopes,
        allowed_models=allowed_models,
        allowed_networks=list(allowed_networks),
        expires_at=expires_at,
        limits=limits,
        budgets=budgets,
    )
    made = {"created_by": audit.person(actor), "created_at": now, "operation_id": operation_id}
    with transaction.atomic():
        key = ApiKey(organization=organization, **terms.columns(), **made)
        _insert(key)
        _add_secret(key, secret, now)
        after = {name: value for name, value in terms.columns().items() if value not in (None, [])}
        audit.record("key.create", key.public_id, actor=actor, organization=organization, after=after, now=now)
        outbox.add([key.record()], now=now)
    return key, secret.text


def find_secret(text: str) -> ApiKeySecret | None:
    """Whose secret that is, in PostgreSQL; None where nobody has it."""
    known = ApiKeySecret.objects.select_related("api_key__organization")
    for _, digest in secrets.digests(text):
        if found := known.filter(digest=digest).first():
            return found
    return None


class NotChanged(Exception):
    """The key was revoked, or is another than the caller saw. `key` is what it is now."""

    def __init__(self, key: ApiKey) -> None:
        super().__init__(str(key))
        self.key = key


def change_key(key: ApiKey, terms: KeyTerms, *, seen_version: int, actor: Actor, now: datetime) -> bool:
    """Give the key these terms. Returns whether that changed anything, once Valkey has it; raises Unreachable as
    `revoke_key` does, and NotChanged where the key was revoked or its version is no longer the one seen.
    """
    columns = terms.columns()
    with transaction.atomic():
        locked = _locked(key)
        changed = [name for name, value in columns.items() if getattr(locked, name) != value]
        if locked.revoked_at or (changed and locked.version != seen_version):
            raise NotChanged(locked)
        if not changed:
            return False
        before = {name: getattr(locked, name) for name in changed}
        after = {name: columns[name] for name in changed}
        for name, value in after.items():
            setattr(locked, name, value)
        entries = _publish(locked, changed, "key.change", actor, now, before=before, after=after)
    outbox.require_delivered(entries)
    return True


# A gateway's clock may be that much behind: what ends now has to have ended there too.
CLOCKS_APART = timedelta(seconds=5)


class NotRotated(Exception):
    """The key was revoked, or rotated since the caller looked."""


def rotate_key(key: ApiKey, *, replacing: str, overlap: timedelta, actor: Actor, now: datetime) -> str:
    """Give the key a new secret and return it; the one that it replaces (by public id) lapses after the overlap.

    Without an overlap it has lapsed already, on a gateway whose clock is behind too, and this returns once Valkey has
    it; where that can't be reached, the new secret is returned all the same and the key isn't `in_force` yet.
    The key's id, usage, limits and budgets go on. Raises NotRotated where `replacing` isn't the current secret.
    """
    secret = secrets.generate(settings.KEY_PREFIX)
    with transaction.atomic():
        locked = _locked(key)
        current = ApiKeySecret.objects.filter(api_key=locked, lapses_at=None, public_id=replacing)
        lapses_at = now + overlap if overlap else now - CLOCKS_APART
        if locked.revoked_at or not current.update(lapses_at=lapses_at):
            raise NotRotated
        _add_secret(locked, secret, now)
        after = {"overlap_seconds": int(overlap.total_seconds())}
        entries = _publish(locked, [], "key.rotate", actor, now, before={"secret": replacing}, after=after)
    if not overlap:
        # Raised, it would take the new secret along, which nobody else knows.
        with suppress(Unreachable):
            outbox.require_delivered(entries)
    key.refresh_from_db()
    return secret.text


def end_overlap(key: ApiKey, *, secret: str, actor: Actor, now: datetime) -> bool:
    """Let a replaced secret (by public id) lapse now rather than later. Returns once Valkey has it; raises Unreachable
    as `revoke_key` does. False where it is no longer, or not yet, on its way out.
    """
    with transaction.atomic():
        locked = _locked(key)
        lapsing = ApiKeySecret.objects.filter(api_key=locked, public_id=secret, lapses_at__gt=now)
        planned = lapsing.values_list("lapses_at", flat=True).first()
        if planned is None or locked.revoked_at:
            return False
        lapsing.update(lapses_at=now - CLOCKS_APART)
        before, after = ({"secret": secret, "lapses_at": moment} for moment in (planned, now))
        entries = _publish(locked, [], "key.end_overlap", actor, now, before=before, after=after)
    outbox.require_delivered(entries)
    return True


def revoke_key(key: ApiKey, *, actor: Actor, now: datetime, reason: str = "") -> None:
    """Revoke for good. Returns once Valkey has it: from then on every gateway refuses.

    Raises hotstate.errors.Unreachable where Valkey can't be reached; the revocation is stored, and gateways answer
    503 meanwhile. Revoking twice is once.
    """
    with transaction.atomic():
        locked = _locked(key)
        if locked.revoked_at is None:
            locked.revoked_at, locked.revoked_by = now, audit.person(actor)
            columns, before = ["revoked_at", "revoked_by"], {"name": locked.name}
            entries = _publish(locked, columns, "key.revoke", actor, now, before=before, reason=reason)
        else:
            entries = outbox.add([locked.record()], now=now)
    outbox.require_delivered(entries)
    key.refresh_from_db()


def _locked(key: ApiKey) -> ApiKey:
    # Not its identity: usage that is being posted refers to it, and nobody waits for that to revoke.
    return ApiKey.objects.select_for_update(of=("self",), no_key=True).select_related("organization").get(pk=key.pk)


def _publish(key: ApiKey, columns: list[str], action: str, actor: Actor, now: datetime, **told: Any) -> list[int]:
    """Save these columns of a locked key as its next version, which the audit trail and Valkey are told of."""
    key.version += 1
    key.save(update_fields=[*columns, "version"])
    audit.record(action, key.public_id, actor=actor, organization=key.organization, now=now, **told)
    return outbox.add([key.record()], now=now)


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
