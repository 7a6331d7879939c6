from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from website import catalogue, signup
from website.access import signed_in

# Of the models; the others are on a page of their own.
SHOWN = 12


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """What this API is, for who doesn't know it yet."""
    found = catalogue.catalogue(timezone.now())
    context = {"models": found.models[:SHOWN], "all": len(found.models), "model": found.example}
    return render(request, "public/landing.html", context)


@require_safe
def charging(request: HttpRequest) -> HttpResponse:
    """What is charged and what isn't."""
    return render(request, "public/charging.html")


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Where signing in leads: to the organization, made here if a lost step left none."""
    if not request.user.is_authenticated:
        return redirect("account_login")
    user = signed_in(request)
    organization = signup.organization_of(user, now=timezone.now())
    if organization is None:
        if user.is_staff:
            return redirect("staff_today")
        messages.info(request, "Confirm your e-mail address first.")
        return redirect("account_email")
    if not organization.api_keys.exists():
        return redirect("welcome", org=organization.public_id)
    return redirect(organization)
