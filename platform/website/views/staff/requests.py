from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing import receipts
from billing.models import UsageEvent
from website.receipt import Shown
from website.views.usage import decision_of


@require_safe
def request_receipt(request: HttpRequest, org: str, request_id: UUID) -> HttpResponse:
    """As its organization sees it, and beside it who answered, and by what name the upstream knows it."""
    organization = get_object_or_404(Organization, public_id=org)
    try:
        found = receipts.receipt(organization, request_id)
    except UsageEvent.DoesNotExist:
        raise Http404 from None
    context = {
        "organization": organization,
        "request_id": str(request_id),
        "receipt": Shown(found),
        "told": decision_of(organization, request_id),
    }
    return render(request, "staff/request.html", context)
