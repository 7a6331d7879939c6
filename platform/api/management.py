"""What all views of the management API share: a key with a scope, its organization's rates, errors as OpenAI's."""

from collections.abc import Callable
from typing import IO, Any, NoReturn

import structlog
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiKey, Organization
from api import errors
from api.key_authentication import KeyAuthentication
from api.throttles import READING, Reads, Writes
from gateway.deciding.verdicts import Verdict
from gateway.errors import NO_SUCH_PATH, TOO_LARGE, refusal

LARGEST_BODY = 64 * 1024


class BodyParser(BaseParser):
    """The body as it came, whatever it says that it is."""

    media_type = "*/*"

    def parse(self, stream: IO[Any], media_type: object = None, parser_context: object = None) -> Any:
        content = stream.read(LARGEST_BODY + 1)
        if len(content) > LARGEST_BODY:
            raise TOO_LARGE
        return content


class HasScope(BasePermission):
    """The view says in `reading` and `writing` which scope that takes."""

    def has_permission(self, request: Request, view: Any) -> bool:
        scope = view.reading if request.method in READING else view.writing
        if scope and scope not in acting_key(request).scopes:
            raise refusal(Verdict.SCOPE_MISSING, scope)
        return True


class ManagementView(APIView):
    authentication_classes = [KeyAuthentication]
    permission_classes = [HasScope]
    throttle_classes = [Reads, Writes]
    parser_classes = [BodyParser]
    http_method_names = ["get", "head", "post", "patch"]
    reading = ""
    writing = ""

    def throttled(self, request: Request, wait: float | None) -> NoReturn:
        raise refusal(Verdict.RATE_LIMITED, "the management API's", wait_ms=int((wait or 0) * 1000))

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        return errors.answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        final["X-Request-Id"] = structlog.contextvars.get_contextvars().get("request_id", "")
        return final


class NothingHere(ManagementView):
    """Every other address below `/api/v1`."""

    authentication_classes = []
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise NO_SUCH_PATH


def acting_key(request: Request) -> ApiKey:
    """The key that was shown."""
    if not isinstance(request.auth, ApiKey):
        raise TypeError("a view of the management API without KeyAuthentication")
    return request.auth


def organization_of(request: Request) -> Organization:
    """The shown key's organization: everything is looked up from here."""
    return acting_key(request).organization


def body_of(request: Request) -> bytes:
    """What was sent, up to LARGEST_BODY bytes. Raises ApiError."""
    return request.data if isinstance(request.data, bytes) else b""
