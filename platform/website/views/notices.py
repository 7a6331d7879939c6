from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Membership, Role
from billing.models import BalanceThreshold
from billing.notices import balances, stopping
from billing.notices.kinds import KINDS, choose, wanted
from website import money
from website.access import for_members
from website.forms.notices import AmountsForm, ChoicesForm


@require_safe
@for_members
def notices(request: HttpRequest, member: Membership) -> HttpResponse:
    """What a member is mailed, and below which balances."""
    return _page(request, member, ChoicesForm(initial=_chosen(member)), AmountsForm(initial=_amounts(member)))


@for_members
@require_POST
def notice_choices(request: HttpRequest, member: Membership) -> HttpResponse:
    form = ChoicesForm(request.POST)
    if not form.is_valid():
        return _page(request, member, form, AmountsForm(initial=_amounts(member)))
    choose(member, form.choices)
    messages.success(request, "Saved.")
    return redirect("notices", org=member.organization.public_id)


@for_members
@require_POST
def notice_amounts(request: HttpRequest, member: Membership) -> HttpResponse:
    if not _may_choose_amounts(member):
        raise PermissionDenied("Only owners and admins choose the amounts.")
    form = AmountsForm(request.POST)
    if not form.is_valid():
        return _page(request, member, ChoicesForm(initial=_chosen(member)), form)
    balances.set_thresholds(member.organization, form.amounts, actor=member.user, now=timezone.now())
    messages.success(request, "Saved.")
    return redirect("notices", org=member.organization.public_id)


# Mail programs post here without a page of ours before: the link itself proves who it was sent to.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def notice_stop(request: HttpRequest, token: str) -> HttpResponse:
    """From a mail's link, also signed out: first a page that asks, because mail scanners open links too."""
    try:
        member, kind = stopping.read(token)
    except stopping.BadLinkError:
        raise Http404("This link is not one of ours, or you are no member any more.") from None
    if request.method == "POST":
        stopping.stop(member, kind)
    context = {"member": member, "kind": kind, "told": KINDS[kind], "stopped": request.method == "POST"}
    return render(request, "public/notice_stop.html", context)


def _page(request: HttpRequest, member: Membership, choices: ChoicesForm, amounts: AmountsForm) -> HttpResponse:
    context = {
        "member": member,
        "choices": choices,
        "amounts": amounts,
        "may_choose_amounts": _may_choose_amounts(member),
        "thresholds": BalanceThreshold.objects.filter(organization=member.organization),
    }
    return render(request, "console/notices.html", context)


def _may_choose_amounts(member: Membership) -> bool:
    return member.role in (Role.OWNER, Role.ADMIN)


def _chosen(member: Membership) -> dict[str, list[str]]:
    return {"kinds": [kind.value for kind, wants in wanted(member).items() if wants]}


def _amounts(member: Membership) -> dict[str, str]:
    rows = BalanceThreshold.objects.filter(organization=member.organization)
    return {f"amount_{number}": money.trimmed(row.nanos).lstrip("$") for number, row in enumerate(rows, 1)}
