"""What gateways show to Keymeter, so that nobody else asks about keys or writes usage."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts import secrets
from accounts.models import User, audit
from gateway.models import GatewayCredential
from hotstate import outbox

PREFIX = "km-gw"
SHORTEST = 32
SEEN_EVERY = timedelta(minutes=1)


class NameTaken(Exception):
    """There is a credential by that name; revoked ones keep theirs, because usage lines name them."""


def create_credential(
    name: str,
    *,
    sources: Sequence[str],
    organizations: Sequence[str] = (),
    actor: User | None = None,
    now: datetime,
) -> tuple[GatewayCredential, str]:
    """Create a credential and return it with its secret, shown once.

    `sources` are exact names or end in `*`; `organizations` are public ids, none for all. Raises NameTaken.
    """
    secret = secrets.generate(PREFIX)
    with transaction.atomic():
        credential = GatewayCredential(
            name=name,
            digest=secret.digest,
            pepper_id=secret.pepper_id,
            last4=secret.last4,
            sources=sorted(sources),
            organizations=sorted(organizations),
            created_at=now,
        )
        _insert(credential)
        after = {"sources": credential.sources, "organizations": credential.organizations}
        audit.record("gateway.create", name, actor=actor, after=after, now=now)
        outbox.add([], now=now, gateways=True)
    return credential, secret.text


def revoke_credential(credential: GatewayCredential, *, actor: User | None, reason: str, now: datetime) -> None:
    """Revoke for good. Returns once Valkey has it: within a second every gateway knows. Usage intake refuses at once.

    Raises hotstate.errors.Unreachable where Valkey can't be reached; the revocation is stored. Twice is once.
    """
    with transaction.atomic():
        if GatewayCredential.objects.filter(pk=credential.pk, revoked_at=None).update(revoked_at=now):
            before = {"sources": credential.sources, "organizations": credential.organizations}
            audit.record("gateway.revoke", credential.name, actor=actor, before=before, reason=reason, now=now)
        entries = outbox.add([], now=now, gateways=True)
    outbox.require_delivered(entries)
    credential.refresh_from_db()


def adopt_credential(name: str, secret: str, *, sources: list[str], now: datetime) -> None:
    """Register a secret made elsewhere (a deployment's), or renew what is registered under that name."""
    if len(secret) < SHORTEST:
        raise ValueError(f"a gateway's credential has at least {SHORTEST} characters")
    pepper_id = max(settings.KEY_PEPPERS)
    digest = secrets.digest(secret, settings.KEY_PEPPERS[pepper_id])
    values = {"digest": digest, "pepper_id": pepper_id, "last4": secret[-4:], "sources": sources, "revoked_at": None}
    with transaction.atomic():
        GatewayCredential.objects.update_or_create(
            name=name, defaults=values, create_defaults={**values, "created_at": now}
        )
        outbox.add([], now=now, gateways=True)


def find_credential(secret: str) -> GatewayCredential | None:
    """The credential that this secret proves, unless it was revoked."""
    for pepper_id, digest in secrets.digests(secret):
        found = GatewayCredential.objects.filter(digest=digest, pepper_id=pepper_id, revoked_at=None).first()
        if found and hmac.compare_digest(bytes(found.digest), digest):
            return found
    return None


def note_seen(credential: GatewayCredential, now: datetime) -> None:
    """Note that it was shown, at most once a minute."""
    if credential.last_seen_at is None or credential.last_seen_at < now - SEEN_EVERY:
        stale = Q(last_seen_at=None) | Q(last_seen_at__lt=now - SEEN_EVERY)
        GatewayCredential.objects.filter(stale, pk=credential.pk).update(last_seen_at=now)


def _insert(credential: GatewayCredential) -> None:
    try:
        with transaction.atomic():
            credential.save(force_insert=True)
    except IntegrityError as error:
        if not GatewayCredential.objects.filter(name=credential.name).exists():
            raise
        raise NameTaken(credential.name) from error
