from contextlib import suppress

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.models import Membership
from billing.payments import billing_details, calling
from website.access import for_payers
from website.forms.billing_details import BillingDetailsForm


@require_http_methods(["GET", "HEAD", "POST"])
@for_payers
def details(request: HttpRequest, member: Membership) -> HttpResponse:
    """Whom receipts and statements are made out to, from now on."""
    own = billing_details.of(member.organization)
    shown = {name: getattr(own, name) for name in billing_details.FIELDS} if own else {"name": member.organization.name}
    form = BillingDetailsForm(request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        billing_details.change(member.organization, form.cleaned_data, actor=member.user, now=timezone.now())
        if calling.offered():
            # While it is away healing tells it.
            with suppress(calling.RefusedError, calling.UnknownError):
                billing_details.send(member.organization)
        messages.success(request, "Saved. Receipts and statements from now on are made out so.")
        return redirect("billing", org=member.organization.public_id)
    return render(request, "console/billing_details.html", {"member": member, "form": form})
