"""Topping up: an amount, Stripe's page, and back to what became of it."""

from contextlib import suppress
from datetime import datetime, timedelta

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Membership
from billing.models import PlanPromise, PromotionCode, TopUp
from billing.payments import calling, cards, charging, settling, topping_up
from billing.promotions import redeeming
from website.access import for_members, for_payers
from website.forms.payments import TopUpForm
from website.paging import page_of
from website.redeeming import trying

SHOWN = 50
LOOK_EVERY = timedelta(seconds=3)

AWAY = "Stripe can't be reached at this moment. Nothing was charged. Try again in a moment."
REFUSED = "The payment page couldn't be made. Nothing was charged."


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def top_up_new(request: HttpRequest, member: Membership) -> HttpResponseBase:
    """Choose an amount; then to Stripe's page."""
    if not calling.offered():
        raise Http404
    with suppress(calling.RefusedError, calling.UnknownError):
        cards.look_if_due(member.organization, now=timezone.now())
    form = TopUpForm(request.POST or None, cards=list(cards.of(member.organization)))
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(_paid(member, form))
        except redeeming.CodeError as error:
            form.add_error("code", str(error))
        except topping_up.TooManyError as error:
            form.add_error(None, str(error))
        except calling.UnknownError:
            form.add_error(None, AWAY)
        except calling.RefusedError as error:
            form.add_error(None, AWAY if error.temporary else REFUSED)
    context = {"member": member, "form": form}
    # Browsers follow the form's redirect to Stripe's page only where the policy names it.
    leading_there = csp_update({"form-action": [settings.STRIPE_CHECKOUT_ORIGIN]})
    return leading_there(lambda request: render(request, "console/top_up_new.html", context))(request)


def _paid(member: Membership, form: TopUpForm) -> str:
    """Where it goes on: Stripe's page, or what became of the card's payment."""
    now, card = timezone.now(), form.card
    code = _code(member, form.cleaned_data["code"], now)
    try:
        begun = topping_up.begin(
            member.organization,
            form.cleaned_data["amount"],
            saves_card=form.cleaned_data["save_card"] and not card,
            card=card,
            asked=form.cleaned_data["asked"] if card else None,
            actor=member.user,
            now=now,
        )
    except topping_up.AgainError as again:
        return _address(again.top_up)
    if code:
        redeeming.promise(begun, code)
    if not card:
        return topping_up.open_checkout(begun, now=now).pay_url
    # Its page says what became of it, and goes on looking.
    with suppress(calling.RefusedError, calling.UnknownError):
        charging.charge(begun, present=True, now=now)
    return _address(begun)


def _code(member: Membership, typed: str, now: datetime) -> PromotionCode | None:
    """What is redeemed once it is paid. Raises CodeError."""
    if not typed:
        return None
    return trying(member, lambda: redeeming.check(member.organization, typed, now=now), now=now)


def _address(top_up: TopUp) -> str:
    return reverse("top_up", kwargs={"org": top_up.organization.public_id, "top_up": top_up.public_id})


@for_payers
@require_POST
def top_up_confirm(request: HttpRequest, member: Membership, top_up: str) -> HttpResponse:
    """The bank wants its customer: ask for the same payment again, now that the customer is there."""
    mine = TopUp.objects.select_related("organization", "card").filter(organization=member.organization)
    found = get_object_or_404(mine, public_id=top_up, card__isnull=False)
    # The card that was asked may have been removed since.
    card = cards.of(member.organization).filter(pk__in=[found.card_id]).first() or cards.default_of(member.organization)
    if found.awaits_customer and card is None:
        messages.error(request, "There is no saved card any more. Add one, then confirm the payment with it.")
    elif found.awaits_customer and card:
        try:
            charging.confirm(found, card, present=True, now=timezone.now())
        except charging.SettledError:
            pass
        except (calling.RefusedError, calling.UnknownError):
            messages.warning(request, "Stripe can't be reached at this moment. Try again in a moment.")
    return redirect(_address(found))


@require_safe
@for_members
def top_up_list(request: HttpRequest, member: Membership) -> HttpResponse:
    """What was paid, and what wasn't, the newest first."""
    rows = (
        TopUp.objects.filter(organization=member.organization).prefetch_related("refunds", "disputes").order_by("-pk")
    )
    shown, following = page_of(request, rows, SHOWN, newest_first=True)
    context = {"member": member, "top_ups": shown, "following": following, "offered": calling.offered()}
    return render(request, "console/top_ups.html", context)


@require_safe
@for_members
def top_up(request: HttpRequest, member: Membership, top_up: str) -> HttpResponse:
    """Where Stripe's page leads back to: looks it up, as a webhook does, and shows how it goes until it is settled."""
    mine = TopUp.objects.select_related("organization", "card").filter(organization=member.organization)
    found = get_object_or_404(mine, public_id=top_up)
    away = False
    now = timezone.now()
    if not found.settled and (found.looked_at is None or now - found.looked_at > LOOK_EVERY):
        try:
            found = settling.look(found, now=now)
        except (calling.RefusedError, calling.UnknownError):
            away = True
    if request.headers.get("HX-Request"):
        changed = _seen(found) != request.GET.get("seen") or found.trouble
        return HttpResponse(headers={"HX-Refresh": "true"}) if changed else HttpResponse(status=204)
    context = {
        "member": member,
        "top_up": found,
        "away": away,
        "seen": _seen(found),
        "plan": PlanPromise.objects.select_related("version__plan").filter(top_up=found).first(),
        "code": redeeming.promised(found),
        "code_kept": redeeming.kept(found),
    }
    return render(request, "console/top_up.html", context)


def _seen(top_up: TopUp) -> str:
    """What the page shows: another one is shown anew."""
    return f"{top_up.state}-confirm" if top_up.awaits_customer or (top_up.card and top_up.pay_url) else top_up.state


@require_safe
@for_members
def top_up_receipt(request: HttpRequest, member: Membership, top_up: str) -> HttpResponse:
    """A page to print."""
    found = get_object_or_404(
        TopUp.objects.select_related("transaction", "card"),
        organization=member.organization,
        public_id=top_up,
        state=TopUp.State.PAID,
    )
    return render(request, "console/top_up_receipt.html", {"member": member, "top_up": found})
