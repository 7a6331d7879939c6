"""Auto-recharge: how it stands, what was tried lately, and what owners and admins choose."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import Membership
from billing.models import AutoRecharge, TopUp
from billing.payments import calling, cards, recharge_choices, recharging
from billing.payments.topping_up import AmountError
from website.access import for_payers
from website.forms.payments import RechargeForm

ATTEMPTS = 10


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def recharge(request: HttpRequest, member: Membership) -> HttpResponse:
    if not calling.offered():
        raise Http404
    now = timezone.now()
    own = AutoRecharge.objects.filter(pk=member.organization.pk).first()
    card = cards.default_of(member.organization)
    form = RechargeForm(request.POST or None, own=own)
    if request.method == "POST" and form.is_valid() and _chosen(form, member):
        messages.success(request, "Auto-recharge is on.")
        return redirect("recharge", org=member.organization.public_id)
    attempts = TopUp.objects.filter(organization=member.organization, way=TopUp.Way.RECHARGE).order_by("-pk")
    context = {
        "member": member,
        "own": own,
        "card": card,
        "form": form,
        "top_ups": list(attempts.select_related("card")[:ATTEMPTS]),
        "this_month_nanos": recharging.recharged_this_month(member.organization, now),
        "most_failures": recharging.MOST_FAILURES,
        "waits": own and own.not_before > now,
    }
    return render(request, "console/recharge.html", context)


def _chosen(form: RechargeForm, member: Membership) -> bool:
    if not cards.default_of(member.organization):
        form.add_error(None, "Save a card first: it is what pays.")
        return False
    try:
        recharge_choices.choose(
            member.organization,
            threshold_nanos=form.cleaned_data["threshold"],
            amount_nanos=form.cleaned_data["amount"],
            monthly_cap_nanos=form.cleaned_data["cap"],
            actor=member.user,
            now=timezone.now(),
        )
    except AmountError as error:
        form.add_error("amount", str(error))
    except recharge_choices.RechargeError as error:
        form.add_error(None, str(error))
    return form.is_valid()


@for_payers
@require_POST
def recharge_off(request: HttpRequest, member: Membership) -> HttpResponse:
    recharge_choices.turn_off(member.organization, actor=member.user, now=timezone.now())
    messages.success(request, "Auto-recharge is off. Nothing new is charged by itself.")
    return redirect("recharge", org=member.organization.public_id)


@for_payers
@require_POST
def recharge_start(request: HttpRequest, member: Membership) -> HttpResponse:
    recharge_choices.start_again(member.organization, actor=member.user, now=timezone.now())
    messages.success(request, "Auto-recharge is on again.")
    return redirect("recharge", org=member.organization.public_id)
