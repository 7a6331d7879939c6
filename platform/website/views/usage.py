from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Membership
from billing.models import UsageEvent
from catalog.models import Model
from website import export, freshness
from website.access import for_members
from website.explorer import Explorer
from website.receipt import Receipt


@require_safe
@for_members
def request_list(request: HttpRequest, member: Membership) -> HttpResponse:
    """Requests, newest first. The first page asks again every two seconds and hears 204 when nothing changed."""
    explorer = Explorer.of(member.organization, request.GET)
    before = _uuid(request.GET.get("before"))
    fingerprint = freshness.of(member.organization)
    if request.headers.get("HX-Request") and request.GET.get("seen") == fingerprint:
        return HttpResponse(status=204)
    events, following = explorer.page(before)
    context = {
        "member": member,
        "explorer": explorer,
        "events": events,
        "before": before,
        "following": following,
        "fingerprint": fingerprint,
    }
    if request.headers.get("HX-Request"):
        return render(request, "console/usage_live.html", context)
    context["keys"] = member.organization.api_keys.order_by("name")
    context["models"] = Model.objects.all()
    return render(request, "console/usage.html", context)


@require_safe
@for_members
def request_csv(request: HttpRequest, member: Membership) -> StreamingHttpResponse:
    """What is filtered, all of it, with exact decimals."""
    events = Explorer.of(member.organization, request.GET).events()
    response = StreamingHttpResponse(
        export.lines(events.iterator(chunk_size=2000)), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = 'attachment; filename="requests.csv"'
    return response


@require_safe
@for_members
def request_receipt(request: HttpRequest, member: Membership, request_id: UUID) -> HttpResponse:
    """Meters times prices is the charge."""
    try:
        receipt = Receipt.of(member.organization, request_id)
    except UsageEvent.DoesNotExist:
        raise Http404 from None
    return render(request, "console/receipt.html", {"member": member, "receipt": receipt})


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404 from None
