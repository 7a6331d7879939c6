"""`PUT /api/v1/usage/segments/<identity>`: a gateway ships a closed segment of its usage log."""

from typing import IO, Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.authentication import GatewayAuthentication, IsGateway
from api.bodies import announced, portions_of
from billing.intake import IntakeError, OtherContentError, receive_segment
from billing.models import Segment
from gateway.models import GatewayCredential

LARGEST_SEGMENT = 64 * 1024 * 1024


class LinesParser(BaseParser):
    """The body as it came, up to LARGEST_SEGMENT bytes."""

    media_type = "application/x-ndjson"

    def parse(self, stream: IO[Any], media_type: object = None, parser_context: Any = None) -> Any:
        request = (parser_context or {})["request"]
        if announced(request) > LARGEST_SEGMENT:
            raise TooLarge
        return b"".join(portions_of(request, stream))


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "A segment has at most 64 MiB: close it sooner."


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT


class SegmentView(APIView):
    """Answers 201 once the segment is archived, 200 where it was already: then the sender deletes it."""

    authentication_classes = [GatewayAuthentication]
    permission_classes = [IsGateway]
    parser_classes = [LinesParser]

    def put(self, request: Request, identity: str) -> Response:
        source = request.headers.get("X-Source", "")
        credential = request.auth
        if not isinstance(credential, GatewayCredential) or not credential.may_write(source):
            raise PermissionDenied(f"This credential may not write usage as source {source!r}.")
        announced(request)
        now = timezone.now()
        content: Any = request.data or b""
        try:
            segment = receive_segment(
                identity,
                content,
                source=source,
                origin=Segment.Origin.GATEWAY,
                organizations=credential.organizations,
                now=now,
            )
        except OtherContentError as error:
            raise Conflict(str(error)) from error
        except IntakeError as error:
            raise ValidationError({"detail": str(error)}) from error
        created = segment.received_at == now
        return Response(
            {"segment": segment.identity, "posted": segment.posted_at is not None},
            status=status.HTTP_201_CREATED if created else status.HTTP_200_OK,
        )
