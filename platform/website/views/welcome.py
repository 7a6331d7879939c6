from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import keys
from accounts.models import Membership
from billing.models import UsageEvent
from gateway.asking.endpoints import SCOPES
from website.access import for_members, for_writers
from website.forms.keys import FirstKeyForm
from website.views.shown_once import already_shown, show_once


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def welcome(request: HttpRequest, member: Membership) -> HttpResponse:
    """The first screen after sign-up: a key in one step."""
    form = FirstKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = keys.create_key(
                member.organization,
                name=form.cleaned_data["name"],
                scopes=list(SCOPES),
                allowed_models=[],
                expires_at=None,
                actor=member.user,
                now=timezone.now(),
                operation_id=form.cleaned_data["operation_id"],
            )
        except keys.AlreadyCreated as made:
            return already_shown(request, made.key)
        return show_once(request, member, key, secret)
    return render(request, "console/welcome.html", {"member": member, "form": form})


@require_safe
@for_members
def first_request(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    """Asked every two seconds until the key's first request is in the books."""
    api_key = get_object_or_404(member.organization.api_keys, public_id=key)
    if not request.headers.get("HX-Request"):
        return redirect(api_key)
    events = UsageEvent.objects.filter(organization=member.organization, api_key=api_key)
    event = events.select_related("model").order_by("id").first()
    if event is None:
        return HttpResponse(status=204)
    # 286: htmx shows it and stops asking.
    return render(request, "console/first_request.html", {"member": member, "event": event}, status=286)
