from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from gateway.faces import credentials
from gateway.models import GatewayCredential
from hotstate.errors import Unreachable
from website.access import signed_in
from website.forms.gateways import GatewayForm
from website.forms.staff import ReasonForm


@require_safe
def gateway_list(request: HttpRequest) -> HttpResponse:
    """Credentials of gateways; those in force first, the newest first."""
    listed = list(GatewayCredential.objects.order_by("-id"))
    listed.sort(key=lambda credential: credential.revoked_at is not None)
    return render(request, "staff/gateways.html", {"credentials": listed})


@require_http_methods(["GET", "HEAD", "POST"])
def gateway_create(request: HttpRequest) -> HttpResponse:
    form = GatewayForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            credential, secret = credentials.create_credential(
                form.cleaned_data["name"],
                sources=form.cleaned_data["sources"],
                organizations=form.cleaned_data["organizations"],
                actor=signed_in(request),
                now=timezone.now(),
            )
        except credentials.NameTaken:
            form.add_error(
                "name", "There is one by this name, perhaps from a moment ago; its secret can't be shown again."
            )
        else:
            response = render(request, "staff/gateway_shown_once.html", {"credential": credential, "secret": secret})
            response["Cache-Control"] = "no-store"
            return response
    return render(request, "staff/gateway_create.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def gateway_revoke(request: HttpRequest, gateway: int) -> HttpResponse:
    credential = get_object_or_404(GatewayCredential, pk=gateway)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            credentials.revoke_credential(credential, actor=signed_in(request), reason=reason, now=timezone.now())
        except Unreachable:
            messages.warning(
                request,
                f"“{credential.name}” is revoked and ships no usage any more, but the gateways couldn't be told yet."
                " Until they can, they answer 503.",
            )
        else:
            messages.success(request, f"“{credential.name}” is revoked. Every gateway knows within a second.")
        return redirect("staff_gateways")
    return render(request, "staff/gateway_revoke.html", {"credential": credential, "form": form})
