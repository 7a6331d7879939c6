from contextlib import suppress

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import organizations
from accounts.models import Organization
from billing.models import OrganizationTerms, PriceList
from billing.price_lists import NameTakenError, open_price_list
from billing.terms import TermsError, change_terms
from hotstate.errors import Unreachable
from website.access import signed_in
from website.forms.terms import PriceListForm, TermsForm

PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
def terms(request: HttpRequest, org: str) -> HttpResponse:
    """What an organization buys at: in force, coming, history, and the form for its own."""
    organization = get_object_or_404(Organization, public_id=org)
    now = timezone.now()
    rows = OrganizationTerms.objects.filter(organization=organization).order_by("-effective_from", "-id")
    rows = rows.select_related("own_price_list", "plan_price_list", "created_by")
    current = rows.filter(effective_from__lte=now).first()
    form = TermsForm(request.POST or None, current=current, now=now)
    if request.method == "POST" and form.is_valid():
        try:
            entries = change_terms(
                organization,
                now=now,
                actor=signed_in(request),
                reason=form.cleaned_data["reason"],
                effective_from=form.effective,
                own_price_list=form.cleaned_data["own_price_list"],
                own_discount_bp=form.cleaned_data["own_discount_bp"],
            )
        except TermsError as error:
            form.add_error(None, str(error))
        else:
            # The organization's page says whether the gateways have it.
            with suppress(Unreachable):
                organizations.require_in_force(organization, entries)
                messages.success(request, "The terms are set." if entries else "Nothing was changed.")
            return redirect("staff_terms", org=org)
    context = {"organization": organization, "form": form, "rows": rows[:PAGE], "current": current, "now": now}
    return render(request, "staff/terms.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def price_lists(request: HttpRequest) -> HttpResponse:
    """The lists beside the public one, and a form for another."""
    form = PriceListForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = open_price_list(form.cleaned_data["name"], actor=signed_in(request), now=timezone.now())
        except NameTakenError as error:
            form.add_error("name", str(error))
        else:
            messages.success(
                request, f"{made} has no prices yet: give it some, then give it to a plan or an organization."
            )
            return redirect("staff_price_lists")
    standing = Count("versions__model", filter=Q(versions__superseded_at=None), distinct=True)
    lists = PriceList.objects.annotate(models_priced=standing)
    return render(request, "staff/price_lists.html", {"form": form, "lists": lists})
