"""The body of a request, read by portions, and known to be whole: half a batch must never be taken for one."""

from collections.abc import Iterator
from typing import IO, Any

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request

PORTION = 256 * 1024


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "Send a Content-Length. Without one it can't be told whether all of the body came."


def announced(request: Request) -> int:
    """Bytes of the body, as its sender says. Raises LengthRequired."""
    told = request.META.get("CONTENT_LENGTH") or ""
    if not told and "HTTP_TRANSFER_ENCODING" not in request.META:
        return 0
    if not told.isdecimal():
        raise LengthRequired
    return int(told)


def portions_of(request: Request, stream: IO[Any] | None) -> Iterator[bytes]:
    """Raises LengthRequired, and ValidationError where less comes than was announced."""
    missing = announced(request)
    while missing and stream and (portion := stream.read(min(PORTION, missing))):
        missing -= len(portion)
        yield portion
    if missing:
        raise ValidationError({"detail": "The body is torn: less of it came than its Content-Length says."})
