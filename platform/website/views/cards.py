"""An organization's saved cards. Owners and admins see and change them; they are typed on Stripe's pages."""

from collections.abc import Callable
from contextlib import suppress

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Membership
from billing.models import SavedCard
from billing.payments import calling, cards
from website.access import for_payers

AWAY = "Stripe can't be reached at this moment. Try again in a moment."
REFUSED = "Stripe didn't allow it. Our staff know."
FAILURES = (calling.RefusedError, calling.UnknownError)


@require_safe
@for_payers
def card_list(request: HttpRequest, member: Membership) -> HttpResponseBase:
    """The cards, as Stripe knows them now where something may have changed."""
    _offered()
    away = False
    try:
        cards.look_if_due(member.organization, now=timezone.now())
    except FAILURES:
        away = True
    context = {"member": member, "cards": list(cards.of(member.organization)), "away": away}
    # Browsers follow a form's redirect to Stripe's pages only where the policy names them.
    leading_there = csp_update({"form-action": [settings.STRIPE_CHECKOUT_ORIGIN, settings.STRIPE_PORTAL_ORIGIN]})
    return leading_there(lambda request: render(request, "console/cards.html", context))(request)


@for_payers
@require_POST
def card_add(request: HttpRequest, member: Membership) -> HttpResponse:
    """To the page of Stripe on which a card is typed."""
    return _leave(request, member, cards.add_page)


@for_payers
@require_POST
def card_portal(request: HttpRequest, member: Membership) -> HttpResponse:
    """To Stripe's own page of the customer's cards."""
    return _leave(request, member, cards.portal_page)


@for_payers
@require_POST
def card_make_default(request: HttpRequest, member: Membership, card: str) -> HttpResponse:
    found = _card(member, card)
    try:
        cards.make_default(found, actor=member.user, now=timezone.now())
        messages.success(request, f"{found} pays where nobody chooses another one.")
    except FAILURES:
        messages.error(request, f"{found} couldn't be made the default. Try again in a moment.")
    return redirect("cards", org=member.organization.public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def card_remove(request: HttpRequest, member: Membership, card: str) -> HttpResponse:
    """Ask, then remove it."""
    found = _card(member, card)
    if request.method == "POST":
        # Nothing is paid with it from now on, and what Stripe wasn't told yet is looked at again.
        with suppress(*FAILURES):
            cards.remove(found, actor=member.user, now=timezone.now())
        messages.success(request, f"{found} is removed.")
        return redirect("cards", org=member.organization.public_id)
    return render(request, "console/card_remove.html", {"member": member, "card": found})


def _offered() -> None:
    if not calling.offered():
        raise Http404


def _card(member: Membership, public_id: str) -> SavedCard:
    _offered()
    return get_object_or_404(cards.of(member.organization).select_related("organization"), public_id=public_id)


def _leave(request: HttpRequest, member: Membership, page: Callable[..., str]) -> HttpResponse:
    _offered()
    try:
        return redirect(page(member.organization, now=timezone.now()))
    except calling.UnknownError:
        messages.error(request, AWAY)
    except calling.RefusedError as error:
        messages.error(request, AWAY if error.temporary else REFUSED)
    return redirect("cards", org=member.organization.public_id)
