"""What gateways show to Keymeter, so that nobody else writes usage."""

import hmac
from datetime import datetime

from django.conf import settings

from accounts import secrets
from gateway.models import GatewayCredential

PREFIX = "km-gw"
SHORTEST = 32


def create_credential(name: str, *, sources: list[str], now: datetime) -> tuple[GatewayCredential, str]:
    """Create a credential and return it with its secret, shown once. `sources` are exact names or end in `*`."""
    secret = secrets.generate(PREFIX)
    credential = GatewayCredential.objects.create(
        name=name,
        digest=secret.digest,
        pepper_id=secret.pepper_id,
        last4=secret.last4,
        sources=sources,
        created_at=now,
    )
    return credential, secret.text


def adopt_credential(name: str, secret: str, *, sources: list[str], now: datetime) -> None:
    """Register a secret made elsewhere (a deployment's), or renew what is registered under that name."""
    if len(secret) < SHORTEST:
        raise ValueError(f"a gateway's credential has at least {SHORTEST} characters")
    pepper_id = max(settings.KEY_PEPPERS)
    digest = secrets.digest(secret, settings.KEY_PEPPERS[pepper_id])
    values = {"digest": digest, "pepper_id": pepper_id, "last4": secret[-4:], "sources": sources, "revoked_at": None}
    GatewayCredential.objects.update_or_create(
        name=name, defaults=values, create_defaults={**values, "created_at": now}
    )


def find_credential(secret: str) -> GatewayCredential | None:
    """The credential that this secret proves, unless it was revoked."""
    for pepper_id, digest in secrets.digests(secret):
        found = GatewayCredential.objects.filter(digest=digest, pepper_id=pepper_id, revoked_at=None).first()
        if found and hmac.compare_digest(bytes(found.digest), digest):
            return found
    return None
