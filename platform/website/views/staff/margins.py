"""What is left of revenue, and what routes cost us."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import costs
from billing.drafts.versions import Wanted, in_order
from billing.margins import GROUPS, margins
from billing.models import RouteCost
from billing.price_rules import PriceError
from catalog.models import Route
from website.access import signed_in
from website.forms.prices import CostForm
from website.paging import address_of, skipped

PERIODS = {"7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days"}
PAGE = 100


@require_safe
def margin(request: HttpRequest) -> HttpResponse:
    """By model, organization or route."""
    group = request.GET.get("by", "")
    group = group if group in GROUPS else "model"
    period = request.GET.get("days", "")
    period = period if period in PERIODS else "30"
    today = timezone.now().date()
    skip = skipped(request)
    found = margins(group, first=today - timedelta(days=int(period) - 1), last=today, skip=skip, most=PAGE)
    context = {
        "group": group,
        "groups": [(name, name.title()) for name in GROUPS],
        "period": period,
        "periods": list(PERIODS.items()),
        "margins": found,
        "following": skip + PAGE if found.count > skip + PAGE else None,
        "address": address_of({"by": group, "days": period}),
    }
    return render(request, "staff/margins.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def route_cost(request: HttpRequest, route: int) -> HttpResponse:
    """What an upstream charges us for a model: in force, history, and the form for the next version."""
    found = get_object_or_404(Route.objects.select_related("model", "upstream"), pk=route)
    now = timezone.now()
    kept = RouteCost.objects.filter(route=found).prefetch_related("prices").select_related("created_by")
    history = list(kept.order_by("-effective_from", "-pk"))
    standing = [cost for cost in history if cost.superseded_at is None and cost.effective_from <= now]
    in_force: RouteCost | None = standing[0] if standing else None
    current = Wanted(in_order(costs.prices_of(in_force))) if in_force else Wanted()
    form = CostForm(request.POST or None, current=current)
    if request.method == "POST" and form.is_valid():
        try:
            costs.set_cost(
                found,
                form.unit_prices,
                effective_from=form.effective,
                actor=signed_in(request),
                reason=form.cleaned_data["reason"],
                now=now,
            )
        except PriceError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Kept: what {found} costs us.")
            return redirect("staff_route_cost", route=found.pk)
    context = {"route": found, "form": form, "in_force": in_force, "history": history, "now": now}
    return render(request, "staff/route_cost.html", context)
