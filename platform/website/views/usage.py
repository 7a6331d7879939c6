from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Membership, Organization
from billing import receipts
from billing.models import UsageEvent
from catalog.models import Model
from hotstate import decision_log, holds
from hotstate.errors import Unreachable
from website import export, freshness
from website.access import for_members
from website.explaining import Explanation, explain
from website.explorer import Explorer
from website.receipt import Shown


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
    context["keys"] = explorer.choosable_keys()
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
    """Meters times prices is the charge. Until it is posted, the page says so and looks again by itself."""
    try:
        found = receipts.receipt(member.organization, request_id)
    except UsageEvent.DoesNotExist:
        return _not_posted(request, member, request_id)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {"member": member, "receipt": Shown(found), "told": decision_of(member.organization, request_id)}
    return render(request, "console/receipt.html", context)


def _not_posted(request: HttpRequest, member: Membership, request_id: UUID) -> HttpResponse:
    """Held money is the sign of a request on its way into the books; without Valkey nobody can tell."""
    context: dict[str, Any] = {"member": member, "request_id": request_id}
    try:
        context["hold"] = holds.find(member.organization.public_id, str(request_id))
    except Unreachable:
        context["away"] = True
    waiting = context.get("hold") or context.get("away")
    if request.headers.get("HX-Request"):
        # The page as a whole says what became of it.
        return HttpResponse(status=204) if waiting else HttpResponse(headers={"HX-Refresh": "true"})
    if not waiting:
        raise Http404
    return render(request, "console/receipt_awaited.html", context)


def decision_of(organization: Organization, request_id: UUID) -> Explanation | None:
    """What the decision saw, where that is recorded and can be read."""
    try:
        record = decision_log.find(request_id, organization.public_id)
    except Unreachable:
        return None
    return explain(record) if record else None


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404 from None
