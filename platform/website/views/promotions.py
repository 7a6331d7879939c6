"""Redeeming a promotion code."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.models import Membership
from billing import ledger
from billing.promotions import redeeming
from website import money
from website.access import for_payers
from website.forms.promotions import RedeemForm
from website.redeeming import trying


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def redeem(request: HttpRequest, member: Membership) -> HttpResponse:
    """Type a code, and the balance has its credit."""
    form = RedeemForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        typed, now = form.cleaned_data["code"], timezone.now()
        try:
            made = trying(
                member, lambda: redeeming.redeem(member.organization, typed, actor=member.user, now=now), now=now
            )
        except (redeeming.CodeError, ledger.BalanceTooLarge) as error:
            form.add_error("code", str(error))
        else:
            messages.success(request, f"{money.trimmed(made.code.nanos)} were added to the balance.")
            return redirect("billing", org=member.organization.public_id)
    return render(request, "console/redeem.html", {"member": member, "form": form})
