"""Where Stripe tells us of events. Nothing of a body is logged or shown."""

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.payments import calling, webhooks

log = structlog.get_logger(__name__)


# Stripe shows no token of ours: its signature is what proves who it is.
@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """200 once it is done or needs nothing; 5xx where Stripe is to try again; 400 for what isn't signed by it."""
    if not calling.offered():
        raise Http404
    try:
        event = webhooks.verified(request.body, request.headers.get("Stripe-Signature", ""))
    except RequestDataTooBig:
        return HttpResponse("Too large.", status=413, content_type="text/plain")
    except (webhooks.ForgedError, webhooks.MalformedError) as error:
        log.warning("webhook refused", why=type(error).__name__)
        return HttpResponse("Not an event that Stripe signed.", status=400, content_type="text/plain")
    try:
        outcome = webhooks.handle(event, now=timezone.now())
    except (calling.RefusedError, calling.UnknownError) as error:
        log.warning("webhook put off", webhook=event.id, kind=event.type, error=str(error))
        return HttpResponse("Try again later.", status=503, content_type="text/plain")
    log.info("webhook handled", webhook=event.id, kind=event.type, outcome=outcome)
    return HttpResponse("OK", content_type="text/plain")
