"""Who may see a page of an organization. What isn't yours looks exactly like what doesn't exist."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404

from accounts.models import Membership, Organization, User

View = Callable[..., HttpResponseBase]


def for_members(view: View) -> View:
    """Sign-in first; then the view gets the membership of whoever asks, or it is a 404."""

    @login_required
    @wraps(view)
    def checked(request: HttpRequest, org: str, **kwargs: Any) -> HttpResponseBase:
        user = signed_in(request)
        organization = get_object_or_404(Organization.objects.of(user), public_id=org)
        membership = Membership.objects.get(user=user, organization=organization)
        membership.organization, membership.user = organization, user
        return view(request, membership, **kwargs)

    return checked


def for_writers(view: View) -> View:
    """As `for_members`, and viewers are told that they may not."""

    @wraps(view)
    def checked(request: HttpRequest, member: Membership, **kwargs: Any) -> HttpResponseBase:
        if not member.may_write:
            raise PermissionDenied("Viewers can look, not change. Ask an owner or admin of the organization.")
        return view(request, member, **kwargs)

    return for_members(checked)


def for_payers(view: View) -> View:
    """As `for_members`, and those who may not decide about money are told so."""

    @wraps(view)
    def checked(request: HttpRequest, member: Membership, **kwargs: Any) -> HttpResponseBase:
        if not member.may_pay:
            raise PermissionDenied("Only owners and admins of the organization decide what it pays for.")
        return view(request, member, **kwargs)

    return for_members(checked)


def signed_in(request: HttpRequest) -> User:
    """The user of a page that only signed-in people reach."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    return user
