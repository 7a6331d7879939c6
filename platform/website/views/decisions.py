"""Why was it refused? And would it be?"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import Membership
from billing.models import UsageEvent
from gateway.faces import dry_run
from hotstate import decision_log
from hotstate.errors import Unreachable
from website.access import for_members
from website.explaining import explain
from website.forms.decisions import DryRunForm, RequestIdForm

NEWEST = 50


@require_safe
@for_members
def refusals(request: HttpRequest, member: Membership) -> HttpResponse:
    """The newest refusals; with `?id=` the request's own page."""
    form = RequestIdForm(request.GET if "id" in request.GET else None)
    if form.is_bound and form.is_valid():
        return redirect("decision", org=member.organization.public_id, request_id=form.cleaned_data["id"])
    context = {"member": member, "form": form}
    try:
        newest = decision_log.newest_refusals(member.organization.public_id, NEWEST)
        theirs = member.organization.api_keys.filter(public_id__in={record.key for record in newest})
        context["names"] = dict(theirs.values_list("public_id", "name"))
        context["refusals"] = [explain(record) for record in newest]
    except Unreachable:
        context["away"] = True
    return render(request, "console/refusals.html", context)


@require_safe
@for_members
def decision(request: HttpRequest, member: Membership, request_id: UUID) -> HttpResponse:
    """What the decision on a request saw."""
    context = {"member": member, "request_id": request_id}
    try:
        record = decision_log.find(request_id, member.organization.public_id)
    except Unreachable:
        return render(request, "console/decision.html", {**context, "away": True})
    charged = UsageEvent.objects.filter(organization=member.organization, pk=request_id).exists()
    if record is None and not charged:
        return render(request, "console/decision.html", context, status=404)
    context |= {"told": explain(record) if record else None, "charged": charged}
    return render(request, "console/decision.html", context)


@require_safe
@for_members
def try_key(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    """A dry run: nothing is consumed, so it is a GET that can be sent around."""
    mine = member.organization.api_keys.select_related("organization").prefetch_related("secrets")
    api_key = get_object_or_404(mine, public_id=key)
    form = DryRunForm(request.GET if "model" in request.GET else None, key=api_key, now=timezone.now())
    context = {"member": member, "key": api_key, "form": form}
    if form.is_bound and form.is_valid():
        try:
            context["told"] = explain(dry_run.would_be(api_key, **form.asked()))
        except Unreachable:
            context["away"] = True
    return render(request, "console/try_key.html", context)
