"""Who asks: a gateway by its credential, a customer's program by an API key."""

from allauth.account.adapter import get_adapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.exceptions import PermissionDenied as NotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from gateway.faces.credentials import find_credential, note_seen
from gateway.models import GatewayCredential


def bearer(request: Request) -> str:
    """What is shown as `Authorization: Bearer …`; empty where nothing is."""
    scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def client_address(request: Request) -> str | None:
    """The client's, as TRUSTED_PROXIES lets it be known; None where no proxy says it."""
    try:
        return str(get_adapter(request).get_client_ip(request))
    except (PermissionDenied, ImproperlyConfigured):
        return None


class GatewayAuthentication(BaseAuthentication):
    """`Authorization: Bearer <gateway credential>`."""

    def authenticate(self, request: Request) -> tuple[None, GatewayCredential] | None:
        secret = bearer(request)
        if not secret:
            return None
        credential = find_credential(secret)
        if credential is None:
            raise AuthenticationFailed("This gateway credential is not known, or was revoked.")
        note_seen(credential, timezone.now())
        return None, credential

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def gateway_of(request: Request) -> GatewayCredential:
    """What was shown, in a view that only gateways may use."""
    if not isinstance(request.auth, GatewayCredential):
        raise AuthenticationFailed
    return request.auth


def source_of(request: Request, credential: GatewayCredential) -> str:
    """As which usage is written: said in a header, or the only one that the credential may write."""
    source = request.headers.get("X-Source", "")
    if not source and len(credential.sources) == 1 and not credential.sources[0].endswith("*"):
        source = credential.sources[0]
    if not source:
        raise ValidationError({"detail": "Say in X-Source as which source these lines are written."})
    if not credential.may_write(source):
        raise NotAllowed(f"This credential may not write usage as source {source!r}.")
    return source


class IsGateway(BasePermission):
    message = "Show a gateway's credential."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, GatewayCredential)
