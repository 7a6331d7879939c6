"""What holds for whole groups of addresses: public answers for everybody, a second factor for staff pages."""

from collections.abc import Callable

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from website.access import signed_in

Handler = Callable[[HttpRequest], HttpResponse]

GUARDED = ("/staff/", "/admin/")


def same_for_everybody(get_response: Handler) -> Handler:
    """An answer that says it is public depends on nobody's cookies, though something on its way looked at them: so
    caches between us and everybody may keep one for all."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if "public" in response.get("Cache-Control", "") and not response.cookies:
            varies = [name for name in response.get("Vary", "").split(", ") if name and name.lower() != "cookie"]
            del response["Vary"]
            if varies:
                response["Vary"] = ", ".join(varies)
        return response

    return middleware


def staff_second_factor(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        guarded = request.path_info.startswith(GUARDED)
        return (_refusal(request) if guarded else None) or get_response(request)

    return middleware


def _refusal(request: HttpRequest) -> HttpResponse | None:
    here = "/admin/" if request.path_info == "/admin/login/" else request.get_full_path()
    if not request.user.is_authenticated:
        return redirect_to_login(here, reverse("account_login"))
    user = signed_in(request)
    if not user.is_staff:
        raise Http404
    if not is_mfa_enabled(user, [Authenticator.Type.TOTP]):
        messages.warning(request, "Staff pages need a second factor. Set up an authenticator app first.")
        return redirect("mfa_activate_totp")
    if not any(record.get("method") == "mfa" for record in get_authentication_records(request, user)):
        return redirect_to_login(here, reverse("mfa_reauthenticate"))
    if request.path_info == "/admin/login/":
        return redirect("admin:index")
    return None
