"""API keys as the management API knows them: looked up in PostgreSQL, refused as the gateway refuses them."""

from datetime import datetime

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import secrets
from accounts.keys import find_secret
from accounts.models import ApiKey, ApiKeySecret
from api.authentication import bearer, client_address
from api.throttles import UnknownKeys
from gateway.deciding import matching
from gateway.deciding.verdicts import Verdict
from gateway.errors import MISSING_KEY, refusal


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <API key>`. Raises ApiError, in the gateway's order of refusals and in its words."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        text = bearer(request)
        if not text:
            raise MISSING_KEY
        if not secrets.is_well_formed(text):
            raise refusal(Verdict.MALFORMED)
        secret = find_secret(text)
        if secret is None:
            raise UnknownKeys().refusal(request)
        address = client_address(request)
        if verdict := _verdict(secret, address, timezone.now()):
            raise refusal(verdict, address or "an unknown address")
        return None, secret.api_key


def _verdict(secret: ApiKeySecret, address: str | None, now: datetime) -> Verdict | None:
    key = secret.api_key
    if key.revoked_at:
        return Verdict.REVOKED
    if any(end is not None and end <= now for end in (key.expires_at, secret.lapses_at)):
        return Verdict.EXPIRED
    if key.organization.suspended_at:
        return Verdict.SUSPENDED
    if key.allowed_networks and not matching.in_networks(address, frozenset(key.allowed_networks)):
        return Verdict.ADDRESS_NOT_ALLOWED
    return None
