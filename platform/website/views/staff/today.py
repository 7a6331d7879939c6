from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Alarm, Organization, audit
from billing.models import DailyUsage, QuarantinedLine, Segment
from website.access import signed_in


@require_safe
def today(request: HttpRequest) -> HttpResponse:
    """How things stand."""
    now = timezone.now()
    oldest = Segment.objects.unposted().order_by("received_at").first()
    context = {
        "organizations": Organization.objects.count(),
        "organizations_new": Organization.objects.filter(created_at__gte=now - timedelta(days=7)).count(),
        "today": _usage(now, days=1),
        "month": _usage(now, days=30),
        "alarms": Alarm.objects.open().order_by("-last_seen_at")[:50],
        "segments_waiting": Segment.objects.unposted().count(),
        "oldest_waiting": oldest,
        "quarantined": QuarantinedLine.objects.filter(resolved_at=None).count(),
    }
    return render(request, "staff/today.html", context)


@require_POST
def close_alarm(request: HttpRequest, alarm: int) -> HttpResponse:
    """A person has looked."""
    closing = get_object_or_404(Alarm.objects.open(), pk=alarm)
    now = timezone.now()
    actor = signed_in(request)
    if Alarm.objects.open().filter(pk=alarm).update(closed_at=now, closed_by=actor):
        audit.record("alarm.close", f"alarm:{alarm}", actor=actor, now=now, before={"alarm": str(closing)})
    return redirect("staff_today")


def _usage(now: datetime, *, days: int) -> dict[str, Any]:
    since = now.date() - timedelta(days=days - 1)
    return DailyUsage.objects.filter(day__gte=since).aggregate(
        nanos=Coalesce(Sum("charge_nanos"), 0),
        requests=Coalesce(Sum("events"), 0),
        organizations=Count("organization", distinct=True),
    )
