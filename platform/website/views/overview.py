from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import Membership
from billing import usage
from website import freshness, spending
from website.access import for_members

DAYS = 30
RECENT = 8


@require_safe
@for_members
def overview(request: HttpRequest, member: Membership) -> HttpResponse:
    """Balance, spend and requests at a glance. htmx asks again every two seconds and hears 204 when nothing changed."""
    fingerprint = freshness.of(member.organization)
    if request.headers.get("HX-Request") and request.GET.get("seen") == fingerprint:
        return HttpResponse(status=204)
    now = timezone.now()
    first, last = now.date() - timedelta(days=DAYS - 1), now.date()
    summary = usage.summary(member.organization, now=now)
    daily = usage.daily_spend_by_model(member.organization, first=first, last=last)
    table = spending.spend_table(daily, first=first, last=last)
    context = {
        "member": member,
        "summary": summary,
        "table": table,
        "runway": spending.runway_days(summary.balance_nanos, table),
        "events": usage.requests(member.organization, before=None, limit=RECENT),
        "fingerprint": fingerprint,
        "has_keys": member.organization.api_keys.exists(),
    }
    live = request.headers.get("HX-Request")
    return render(request, "console/overview_live.html" if live else "console/overview.html", context)
