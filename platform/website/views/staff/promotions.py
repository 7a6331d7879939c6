"""Promotion codes: making them, who used how many, stopping them."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import PromotionCode
from billing.promotions import offering
from billing.promotions.redeeming import CodeError
from website.access import signed_in
from website.forms.promotions import PromotionForm
from website.paging import page_of

PAGE = 50


@require_safe
def promotion_list(request: HttpRequest) -> HttpResponse:
    """All codes, the newest first."""
    query = request.GET.get("q", "").strip()[:60]
    rows = PromotionCode.objects.select_related("created_by").order_by("-pk")
    if query:
        rows = rows.filter(code__icontains=query)
    shown, following = page_of(request, rows, PAGE, newest_first=True)
    context = {"codes": shown, "following": following, "query": query, "now": timezone.now()}
    return render(request, "staff/promotions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def promotion_create(request: HttpRequest) -> HttpResponse:
    form = PromotionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = offering.create(
                data["code"],
                data["amount"],
                note=data["note"],
                first_top_up_only=data["first_top_up_only"],
                expires_at=form.expires_at,
                credit_days=data["credit_days"],
                uses_most=data["uses_most"],
                actor=signed_in(request),
                now=timezone.now(),
            )
        except CodeError as error:
            form.add_error("code", str(error))
        else:
            messages.success(request, f"{made} can be redeemed now.")
            return redirect("staff_promotions")
    return render(request, "staff/promotion_create.html", {"form": form})


@require_POST
def promotion_stop(request: HttpRequest, promotion: int) -> HttpResponse:
    """From now on nobody redeems it."""
    found = get_object_or_404(PromotionCode, pk=promotion)
    offering.stop(found, actor=signed_in(request), now=timezone.now())
    messages.success(request, f"{found} is stopped.")
    return redirect("staff_promotions")
