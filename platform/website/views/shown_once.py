from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from accounts.models import ApiKey, Membership
from website import catalogue


def show_once(request: HttpRequest, member: Membership, key: ApiKey, secret: str, *, told: bool = True) -> HttpResponse:
    """The one answer that has the secret: stored nowhere, by browsers neither.

    `told` is False where the gateways don't know yet that it ends another one.
    """
    model = key.allowed_models[0] if key.allowed_models else catalogue.catalogue(timezone.now()).example
    context = {"member": member, "key": key, "secret": secret, "model": model, "told": told}
    response = render(request, "console/key_shown_once.html", context)
    response["Cache-Control"] = "no-store"
    return response


def already_shown(request: HttpRequest, key: ApiKey) -> HttpResponse:
    """The form was sent before: there is one key, and its secret can't be shown again."""
    messages.info(
        request, "This key was already created. Its secret is shown only once; create another key if you lost it."
    )
    return redirect(key)
