"""`PUT /api/v1/usage/segments/<identity>`: a gateway ships a closed segment of its usage log."""

from typing import IO, Any

from django.utils import timezone
from rest_framework import status
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.authentication import GatewayAuthentication, IsGateway, gateway_of, source_of
from api.bodies import announced, portions_of
from api.intake_refusals import TooLarge, refusing
from api.intake_throttles import Segments
from billing.intake import receive_shipped

LARGEST_SEGMENT = 64 * 1024 * 1024


class LinesParser(BaseParser):
    """The body as it came, up to LARGEST_SEGMENT bytes."""

    media_type = "application/x-ndjson"

    def parse(self, stream: IO[Any], media_type: object = None, parser_context: Any = None) -> Any:
        request = (parser_context or {})["request"]
        if announced(request) > LARGEST_SEGMENT:
            raise TooLarge("A segment has at most 64 MiB: close it sooner.")
        return b"".join(portions_of(request, stream))


class SegmentView(APIView):
    """Answers 201 once the segment is archived, 200 where it was already: then the sender deletes it."""

    authentication_classes = [GatewayAuthentication]
    permission_classes = [IsGateway]
    throttle_classes = [Segments]
    parser_classes = [LinesParser]

    def put(self, request: Request, identity: str) -> Response:
        credential = gateway_of(request)
        source = source_of(request, credential)
        announced(request)
        content: Any = request.data or b""
        with refusing():
            segment, new = receive_shipped(
                identity,
                content,
                source=source,
                sent_by=credential.name,
                organizations=credential.organizations,
                now=timezone.now(),
            )
        return Response(
            {"segment": segment.identity, "posted": segment.posted_at is not None},
            status=status.HTTP_201_CREATED if new else status.HTTP_200_OK,
        )
