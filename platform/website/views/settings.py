from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import organizations
from accounts.models import Membership, Role
from website.access import for_members
from website.forms.organization import OrganizationForm


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def settings(request: HttpRequest, member: Membership) -> HttpResponse:
    """The organization's name, and who belongs to it."""
    may_rename = member.role in (Role.OWNER, Role.ADMIN)
    form = OrganizationForm(request.POST or None, initial={"name": member.organization.name})
    if request.method == "POST":
        if not may_rename:
            raise PermissionDenied("Only owners and admins change the organization.")
        if form.is_valid():
            organizations.rename(member.organization, form.cleaned_data["name"], actor=member.user, now=timezone.now())
            messages.success(request, "Saved.")
            return redirect("settings", org=member.organization.public_id)
    members = member.organization.memberships.select_related("user").order_by("id")
    context = {"member": member, "form": form, "may_rename": may_rename, "memberships_here": members}
    return render(request, "console/settings.html", context)
