"""Plans and saved cards: the first period paid with one, and whether the default card pays later fees."""

from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.models import Membership
from billing.models import Balance, PlanVersion
from billing.payments import calling, cards, charging, first_fees, plan_fees, topping_up
from billing.payments.currencies import nanos_of
from billing.plans.errors import PlanError
from billing.plans.paying import own_money
from billing.plans.quoting import Quote, quote
from website import plan_standing
from website.access import for_payers
from website.forms.plans import NOW, ByCardForm, WhenForm


def page_of(
    member: Membership, version: PlanVersion, offer: Quote, form: WhenForm, by_card: ByCardForm | None = None
) -> dict[str, Any]:
    """What `console/plan_choose.html` shows. A card is offered where there is no plan and the balance isn't enough."""
    standing = plan_standing.of(member.organization)
    balance = Balance.objects.filter(organization=member.organization).first()
    own = own_money(balance) if balance else 0
    short = standing is None and calling.offered() and 0 < version.fee_nanos > own
    return {
        "member": member,
        "version": version,
        "limits": plan_standing.limits_of(version),
        "offer": offer,
        "form": form,
        "standing": standing,
        "balance_nanos": balance.nanos if balance else 0,
        "short": short,
        "card": cards.default_of(member.organization) if short else None,
        "by_card": by_card or ByCardForm(offer=offer),
        "card_nanos": nanos_of(plan_fees.amount_of(version), "usd"),
    }


@for_payers
@require_POST
def plan_choose_by_card(request: HttpRequest, member: Membership, slug: str) -> HttpResponse:
    """The default card pays the first period; the payment's page says what becomes of it."""
    if not calling.offered():
        raise Http404
    version = get_object_or_404(plan_standing.offered(), plan__slug=slug)
    organization, now = member.organization, timezone.now()
    card = cards.default_of(organization)
    if card is None:
        messages.error(request, "Save a card first: it is what pays.")
        return redirect("cards", org=organization.public_id)
    offer = quote(organization, version, at=now)
    form = ByCardForm(request.POST, offer=offer)
    if form.is_valid():
        shown, asked = form.cleaned_data["shown"], form.cleaned_data["asked"]
        try:
            begun = first_fees.begin(
                organization, version, card, shown_nanos=shown, asked=asked, actor=member.user, now=now
            )
        except topping_up.AgainError as again:
            return redirect(_address(member, again.top_up.public_id))
        except PlanError as error:
            form = ByCardForm(offer=offer)
            messages.error(request, str(error))
        else:
            # Its page says what became of it, and goes on looking.
            with suppress(calling.RefusedError, calling.UnknownError):
                charging.charge(begun, present=True, now=now)
            return redirect(_address(member, begun.public_id))
    when = WhenForm(offer=offer, choices=[(NOW, "Now")])
    return render(request, "console/plan_choose.html", page_of(member, version, offer, when, form))


@for_payers
@require_POST
def plan_by_card(request: HttpRequest, member: Membership) -> HttpResponse:
    """Allow that the default card pays fees which the balance doesn't cover."""
    if not cards.default_of(member.organization):
        messages.error(request, "Save a card first: it is what pays.")
        return redirect("cards", org=member.organization.public_id)
    plan_fees.let_pay(member.organization, by_card=True, actor=member.user, now=timezone.now())
    messages.success(request, "The default card pays the plan's fee where the balance doesn't cover it.")
    return redirect("billing", org=member.organization.public_id)


@for_payers
@require_POST
def plan_not_by_card(request: HttpRequest, member: Membership) -> HttpResponse:
    plan_fees.let_pay(member.organization, by_card=False, actor=member.user, now=timezone.now())
    messages.success(request, "The plan's fee is paid from the balance only.")
    return redirect("billing", org=member.organization.public_id)


def _address(member: Membership, top_up: str) -> str:
    return reverse("top_up", kwargs={"org": member.organization.public_id, "top_up": top_up})
