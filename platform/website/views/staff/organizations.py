from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from msgspec.structs import asdict

from accounts import organizations
from accounts.models import Organization
from billing import adjustments, ledger, usage
from billing.models import Statement
from hotstate.errors import Unreachable
from website import money
from website.access import signed_in
from website.forms.staff import AdjustForm, LimitsForm, PreviewsForm, ReasonForm
from website.key_list import CURRENT_SECRET

PAGE = 50


@require_safe
def organization_list(request: HttpRequest) -> HttpResponse:
    """Search by name, id or a member's address; newest first, by keyset."""
    query = request.GET.get("q", "").strip()
    before = request.GET.get("before", "")
    found = Organization.objects.select_related("balance").order_by("-id")
    if query:
        matching = Q(name__icontains=query) | Q(public_id=query) | Q(memberships__user__email__icontains=query)
        found = found.filter(pk__in=Organization.objects.filter(matching).values("pk"))
    if before.isdecimal():
        found = found.filter(pk__lt=int(before[:18]))
    page = list(found[: PAGE + 1])
    context = {
        "organizations": page[:PAGE],
        "query": query,
        "following": page[PAGE - 1].pk if len(page) > PAGE else None,
    }
    return render(request, "staff/organizations.html", context)


@require_safe
def organization_detail(request: HttpRequest, org: str) -> HttpResponse:
    """Everything about one: money, ledger, keys, usage."""
    organization = _organization(org)
    now = timezone.now()
    keys = organization.api_keys.prefetch_related(CURRENT_SECRET).order_by("-id")[:PAGE]
    context = {
        "organization": organization,
        "in_preview": settings.PREVIEW_ENDPOINTS,
        "summary": usage.summary(organization, now=now),
        "members": organization.memberships.select_related("user"),
        "transactions": organization.ledger_transactions.select_related("actor")
        .prefetch_related("entries")
        .order_by("-id")[:25],
        "grants": organization.grants.order_by("priority", "expires_at", "id"),
        "keys": [(key, key.state(now)) for key in keys],
        "spend": usage.spend_by_key(keys, since=now - timedelta(days=29)),
        "events": usage.requests(organization, before=None, limit=10),
        "statements": Statement.objects.filter(organization=organization).order_by("-number")[:12],
    }
    return render(request, "staff/organization.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def adjust(request: HttpRequest, org: str) -> HttpResponse:
    organization = _organization(org)
    form = AdjustForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            adjustments.adjust_balance(
                organization,
                form.nanos,
                reason=form.cleaned_data["reason"],
                actor=signed_in(request),
                now=timezone.now(),
                operation_id=str(form.cleaned_data["operation_id"]),
            )
        except ledger.BalanceTooLarge as error:
            form.add_error("amount", str(error))
        else:
            messages.success(request, "The balance is adjusted.")
            return redirect("staff_organization", org=org)
    return render(request, "staff/adjust.html", {"organization": organization, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: HttpRequest, org: str) -> HttpResponse:
    organization = _organization(org)
    own = organization.overdraft_nanos
    overdraft = "" if own is None else money.trimmed(own).lstrip("$")
    now_set = {**asdict(organization.limits), "overdraft": overdraft}
    form = LimitsForm(request.POST or None, initial=now_set)
    if request.method == "POST" and form.is_valid():
        with suppress(Unreachable):
            organizations.set_limits(
                organization,
                form.limits,
                overdraft_nanos=form.cleaned_data["overdraft"],
                actor=signed_in(request),
                reason=form.cleaned_data["reason"],
                now=timezone.now(),
            )
            messages.success(request, f"The limits of {organization} are set, and in force at every gateway.")
        return redirect("staff_organization", org=org)
    return render(request, "staff/limits.html", {"organization": organization, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def previews(request: HttpRequest, org: str) -> HttpResponse:
    """Open endpoints in preview for it, or close them."""
    organization = _organization(org)
    form = PreviewsForm(request.POST or None, initial={"previews": organization.previews})
    if request.method == "POST" and form.is_valid():
        chosen, reason = form.cleaned_data["previews"], form.cleaned_data["reason"]
        with suppress(Unreachable):
            organizations.set_previews(
                organization, chosen, actor=signed_in(request), reason=reason, now=timezone.now()
            )
            messages.success(request, f"The previews of {organization} are set, and in force at every gateway.")
        return redirect("staff_organization", org=org)
    return render(request, "staff/previews.html", {"organization": organization, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def suspend(request: HttpRequest, org: str) -> HttpResponse:
    return _change(request, org, suspending=True)


@require_http_methods(["GET", "HEAD", "POST"])
def reinstate(request: HttpRequest, org: str) -> HttpResponse:
    return _change(request, org, suspending=False)


@require_safe
def in_force(request: HttpRequest, org: str) -> HttpResponse:
    """Asked every two seconds while the gateways don't have the organization's last change yet."""
    organization = _organization(org)
    if not request.headers.get("HX-Request"):
        return redirect("staff_organization", org=org)
    return render(request, "staff/organization_in_force.html", {"organization": organization})


def _change(request: HttpRequest, org: str, *, suspending: bool) -> HttpResponse:
    organization = _organization(org)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        change = organizations.suspend if suspending else organizations.reinstate
        # The page that follows says since when it is in force, or that the gateways don't have it yet.
        with suppress(Unreachable):
            change(organization, actor=signed_in(request), reason=form.cleaned_data["reason"], now=timezone.now())
            messages.success(request, f"{organization} is {'suspended' if suspending else 'reinstated'}.")
        return redirect("staff_organization", org=org)
    return render(request, "staff/suspend.html", {"organization": organization, "form": form, "suspending": suspending})


def _organization(public_id: str) -> Organization:
    return get_object_or_404(Organization.objects.select_related("balance"), public_id=public_id)
