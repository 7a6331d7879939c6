from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from gateway.credentials import find_credential, note_seen
from gateway.models import GatewayCredential


class GatewayAuthentication(BaseAuthentication):
    """`Authorization: Bearer <gateway credential>`."""

    def authenticate(self, request: Request) -> tuple[None, GatewayCredential] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        credential = find_credential(secret.strip())
        if credential is None:
            raise AuthenticationFailed("This gateway credential is not known, or was revoked.")
        note_seen(credential, timezone.now())
        return None, credential

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsGateway(BasePermission):
    message = "Show a gateway's credential."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, GatewayCredential)
