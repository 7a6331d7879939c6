"""An organization's money and plan. Everybody sees it; owners and admins change it."""

from contextlib import suppress

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Membership
from billing import usage
from billing.models import AutoRecharge, SubscriptionEvent, TopUp
from billing.payments import calling, cards, plan_fees
from billing.plans import choosing, ending, renewing
from billing.plans.errors import OtherwiseError, PlanError
from billing.plans.quoting import Quote, quote
from hotstate.errors import Unreachable
from website import plan_standing
from website.access import for_members, for_payers
from website.forms.plans import AT_END, NOW, WhenForm
from website.views import plan_cards

LATER = "Done. The gateways can't be reached at this moment; they will know as soon as they can."
EVENTS = 20
TOP_UPS = 5


@require_safe
@for_members
def billing(request: HttpRequest, member: Membership) -> HttpResponse:
    """Balance, credit and what burns next, the plan, what happened to it."""
    now = timezone.now()
    events = SubscriptionEvent.objects.filter(organization=member.organization)
    context = {
        "member": member,
        "summary": usage.summary(member.organization, now=now),
        "standing": plan_standing.of(member.organization),
        "grants": plan_standing.burning(member.organization)[:50],
        "top_ups": _top_ups(member)[:TOP_UPS],
        "recharge": AutoRecharge.objects.filter(pk=member.organization.pk, active=True).first(),
        "offered": calling.offered(),
        "card": cards.default_of(member.organization) if member.may_pay else None,
        "events": events.select_related("version__plan", "actor").order_by("-id")[:EVENTS],
    }
    return render(request, "console/billing.html", context)


@require_safe
@for_members
def plans(request: HttpRequest, member: Membership) -> HttpResponse:
    """What there is to choose from."""
    standing = plan_standing.of(member.organization)
    rows = [(version, plan_standing.limits_of(version)) for version in plan_standing.offered()]
    return render(request, "console/plans.html", {"member": member, "standing": standing, "rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def plan_choose(request: HttpRequest, member: Membership, slug: str) -> HttpResponse:
    """What a plan would cost and bring, now or later; then it is chosen."""
    version = get_object_or_404(plan_standing.offered(), plan__slug=slug)
    now = timezone.now()
    standing = plan_standing.of(member.organization)
    offer = quote(member.organization, version, at=now)
    choices = [(NOW, "Now")]
    if standing and standing.subscription.pays:
        choices.append((AT_END, f"When the period that is paid ends, {standing.subscription.period_ends_at:%d %b %Y}"))
    form = WhenForm(request.POST or None, offer=offer, choices=choices)
    if request.method == "POST" and form.is_valid():
        try:
            if form.cleaned_data["when"] == AT_END:
                choosing.choose_at_end(member.organization, version, actor=member.user, now=now)
                messages.success(request, f"{version.plan.name} begins when the period that is paid ends.")
            else:
                at, shown = form.cleaned_data["at"], form.cleaned_data["shown"]
                choosing.choose(member.organization, version, actor=member.user, now=now, at=at, shown_nanos=shown)
                messages.success(request, f"{version.plan.name} has begun.")
            return redirect("billing", org=member.organization.public_id)
        except PlanError as error:
            form = _again(form, error, offer, choices)
        except Unreachable:
            messages.warning(request, LATER)
            return redirect("billing", org=member.organization.public_id)
    return render(request, "console/plan_choose.html", plan_cards.page_of(member, version, offer, form))


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def plan_cancel(request: HttpRequest, member: Membership) -> HttpResponse:
    """What ending the plan means, at the end or now; then it is ended."""
    now = timezone.now()
    standing = plan_standing.of(member.organization)
    if standing is None:
        return redirect("billing", org=member.organization.public_id)
    offer = quote(member.organization, None, at=now)
    choices = [(NOW, "Now")]
    if standing.subscription.pays:
        until = f"When the period that is paid ends, {standing.subscription.period_ends_at:%d %b %Y}"
        choices.insert(0, (AT_END, until))
    form = WhenForm(request.POST or None, offer=offer, choices=choices)
    if request.method == "POST" and form.is_valid():
        try:
            if form.cleaned_data["when"] == AT_END:
                ending.cancel_at_end(member.organization, actor=member.user, now=now)
                messages.success(request, "The plan won't be renewed.")
            else:
                at, shown = form.cleaned_data["at"], form.cleaned_data["shown"]
                ending.cancel_now(member.organization, actor=member.user, now=now, at=at, shown_nanos=shown)
                messages.success(request, "The plan has ended.")
            return redirect("billing", org=member.organization.public_id)
        except PlanError as error:
            form = _again(form, error, offer, choices)
        except Unreachable:
            messages.warning(request, LATER)
            return redirect("billing", org=member.organization.public_id)
    context = {"member": member, "standing": standing, "offer": offer, "form": form}
    return render(request, "console/plan_cancel.html", context)


@for_payers
@require_POST
def plan_keep(request: HttpRequest, member: Membership) -> HttpResponse:
    """Take back a change or an end that was to come."""
    with suppress(PlanError):
        choosing.keep(member.organization, actor=member.user, now=timezone.now())
        messages.success(request, "The plan goes on as it is.")
    return redirect("billing", org=member.organization.public_id)


@for_payers
@require_POST
def plan_pay(request: HttpRequest, member: Membership) -> HttpResponse:
    """Try a renewal again that couldn't be paid."""
    now = timezone.now()
    plan_fees.ask_again(member.organization, now=now)
    outcomes = renewing.pay_now(member.organization, now=now)
    if outcomes and outcomes[-1] == "renewed":
        messages.success(request, "The plan is paid.")
    elif "put off" in outcomes:
        messages.warning(request, "Balances can't be reached at this moment. Try again in a moment.")
    elif "waiting" in outcomes:
        messages.warning(request, "The card was asked, and its answer isn't known yet. Look again in some minutes.")
    elif outcomes:
        messages.error(request, "The balance doesn't cover the fee yet, and no card paid it.")
    return redirect("billing", org=member.organization.public_id)


def _again(form: WhenForm, error: PlanError, offer: Quote, choices: list[tuple[str, str]]) -> WhenForm:
    """What was typed with the reason why not; where it costs something else, with what it costs now."""
    if not isinstance(error, OtherwiseError):
        form.add_error(None, str(error))
        return form
    shown = {"when": form.cleaned_data["when"], "at": offer.at.isoformat(), "shown": offer.net_nanos}
    again = WhenForm(shown, offer=offer, choices=choices)
    again.is_valid()
    again.add_error(None, str(error))
    return again


def _top_ups(member: Membership) -> QuerySet[TopUp]:
    rows = TopUp.objects.filter(organization=member.organization).order_by("-pk")
    return rows.prefetch_related("refunds", "disputes")
