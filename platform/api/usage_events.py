"""`POST /api/v1/usage/events`: usage in batches, by gateways and log shippers; `GET` tells what became of one."""

from collections.abc import Iterator
from typing import IO, Any

from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.authentication import GatewayAuthentication, IsGateway, gateway_of, source_of
from api.bodies import portions_of
from api.intake_refusals import refusing
from api.intake_throttles import Batches
from billing.adapters import FORMATS, KEYMETER
from billing.batches import Sender, receive_batch
from billing.models import Segment
from billing.quarantine.looking import reasons_of
from billing.unpacking import inflated, limited

# As sent, compressed or not.
LARGEST_BODY = 64 * 1024 * 1024
LONGEST_KEY = 200
# One after another in a body.
MOST_GZIPS = 10_000


class Stream(BaseParser):
    """The body as it comes, whatever it says it is."""

    media_type = "*/*"

    def parse(self, stream: IO[Any], media_type: object = None, parser_context: object = None) -> Any:
        return stream


class OneFormat(BaseContentNegotiation):
    """Answers are JSON, whatever a log shipper says that it likes."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class UsageEventsView(APIView):
    """Answers 202 once the batch is archived, with where to ask what became of it. What fails isn't stored in part."""

    authentication_classes = [GatewayAuthentication]
    permission_classes = [IsGateway]
    throttle_classes = [Batches]
    parser_classes = [Stream]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OneFormat

    def post(self, request: Request) -> Response:
        credential = gateway_of(request)
        source = source_of(request, credential)
        format_ = FORMATS.get(request.query_params.get("format", KEYMETER))
        if format_ is None:
            raise ValidationError({"detail": f"`format` has to be one of {', '.join(FORMATS)}."})
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > LONGEST_KEY or not key.isprintable():
            raise ValidationError({"detail": f"An Idempotency-Key has up to {LONGEST_KEY} printable characters."})
        sender = Sender(
            source=source,
            origin=Segment.Origin.API,
            credential=credential.name,
            mark=str(credential.pk),
            organizations=credential.organizations,
        )
        with refusing():
            segment, new = receive_batch(_portions(request), sender, format_, now=timezone.now(), idempotency_key=key)
        address = reverse("usage_batch", kwargs={"identity": segment.identity})
        told = {"batch": segment.identity, "new_batch": new, "address": address}
        return Response(told, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class UsageBatchView(APIView):
    """What became of a batch. Another credential's looks exactly like none."""

    authentication_classes = [GatewayAuthentication]
    permission_classes = [IsGateway]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OneFormat

    def get(self, request: Request, identity: str) -> Response:
        credential = gateway_of(request)
        mine = Segment.objects.filter(origin=Segment.Origin.API, sent_by=credential.name)
        segment = mine.filter(identity=identity).first()
        if segment is None:
            raise Http404
        posted = segment.posted_at is not None
        return Response(
            {
                "batch": segment.identity,
                "source": segment.source,
                "received_at": segment.received_at.isoformat(),
                "posted": posted,
                "posted_at": segment.posted_at.isoformat() if segment.posted_at else None,
                "lines": segment.lines if posted else None,
                "new": segment.new if posted else None,
                "duplicate": segment.duplicate if posted else None,
                "quarantined": segment.quarantined if posted else None,
                "skipped": segment.skipped,
                "reasons": reasons_of(segment),
            }
        )


def _portions(request: Request) -> Iterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    body: Any = request.data
    stream = body if hasattr(body, "read") else None
    sent = limited(portions_of(request, stream), LARGEST_BODY)
    if encoding in ("gzip", "x-gzip"):
        return inflated(sent, most_members=MOST_GZIPS)
    if encoding not in ("", "identity"):
        raise ValidationError({"detail": "`Content-Encoding` has to be gzip, or nothing."})
    return sent
