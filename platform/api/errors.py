"""What the management API answers other than success, in the shape that OpenAI's clients know.

docs/management-api.md has the table; a test compares the two. What keys are refused with is `gateway.errors`.
"""

from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.response import Response

from gateway.errors import (
    INTERNAL,
    INVALID,
    NO_RETRY,
    NO_SUCH_PATH,
    UNAVAILABLE,
    WRONG_METHOD,
    ApiError,
    bad_request,
)
from gateway.http.spoken import spoken
from hotstate.errors import Unreachable

log = structlog.get_logger(__name__)

NO_SUCH_KEY = ApiError(404, INVALID, "key_not_found", "There is no such key in this organization.")
NO_SUCH_REQUEST = ApiError(404, INVALID, "request_not_found", "There is no such request in this organization's books.")
NOT_POSTED_YET = ApiError(
    404,
    INVALID,
    "request_not_posted",
    "This request isn't in the books yet. Ask again in a few seconds.",
    None,
    {"retry-after": "2"},
)
KEY_REVOKED = ApiError(
    409, INVALID, "key_revoked", "This key was revoked: nothing about it can change any more.", None, NO_RETRY
)
KEY_CHANGED = ApiError(
    409,
    INVALID,
    "key_changed",
    "This key was changed since you read it. Read it again, and send its `version`.",
    "version",
    NO_RETRY,
)
NOT_THE_CURRENT_SECRET = ApiError(
    409,
    INVALID,
    "not_the_current_secret",
    "`replacing` isn't the key's current secret: it was rotated before. Read the key again.",
    "replacing",
    NO_RETRY,
)
ALREADY_CREATED = ApiError(
    409,
    INVALID,
    "already_created",
    "This Idempotency-Key made {detail} before. Its secret was shown then; rotate that key to get another.",
    None,
    NO_RETRY,
)
BEYOND_THIS_KEY = ApiError(
    403,
    INVALID,
    "beyond_this_key",
    "A key can't give what it doesn't have. This goes beyond the key that you show: {detail}.",
)


def told(error: ApiError, detail: str, *, param: str | None = None) -> ApiError:
    """The error, with what it is about."""
    return ApiError(error.status, error.type, error.code, error.message.format(detail=detail), param, error.headers)


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """Every exception of a view as an answer; what nobody foresaw goes to the log."""
    said = spoken(_said(error))
    return Response({"error": said.told}, status=said.status, headers=dict(said.headers))


def _said(error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case Http404():
            return NO_SUCH_PATH
        case MethodNotAllowed():
            return WRONG_METHOD
        case APIException(status_code=status) if status < 500:
            return bad_request(str(error.detail))
        case OperationalError() | InterfaceError():
            log.warning("management API without the database", error=str(error))
            return UNAVAILABLE
        case Unreachable():
            log.warning("management API without Valkey", error=str(error))
            return UNAVAILABLE
    log.error("management API failed", exc_info=error)
    return INTERNAL
