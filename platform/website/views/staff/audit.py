from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import AuditEntry

PAGE = 100


@require_safe
def audit_trail(request: HttpRequest) -> HttpResponse:
    """Who did what, before and after; newest first, filtered as the address says."""
    chosen = {name: request.GET.get(name, "").strip() for name in ("action", "actor", "organization", "staff")}
    entries = AuditEntry.objects.select_related("actor", "actor_key", "organization").order_by("-id")
    if chosen["action"]:
        entries = entries.filter(action__startswith=chosen["action"])
    if chosen["actor"]:
        entries = entries.filter(actor__email__icontains=chosen["actor"])
    if chosen["organization"]:
        entries = entries.filter(organization__public_id=chosen["organization"])
    if chosen["staff"]:
        entries = entries.filter(staff=True)
    before = request.GET.get("before", "")
    if before.isdecimal():
        entries = entries.filter(pk__lt=int(before[:18]))
    page = list(entries[: PAGE + 1])
    context = {
        "entries": page[:PAGE],
        "chosen": chosen,
        "address": urlencode({name: value for name, value in chosen.items() if value}),
        "following": page[PAGE - 1].pk if len(page) > PAGE else None,
    }
    return render(request, "staff/audit.html", context)
