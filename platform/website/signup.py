"""From a confirmed address to an organization with its starting balance."""

from datetime import datetime
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.conf import settings
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Organization, User
from accounts.organizations import open_organization
from billing.notices import balances
from billing.signup import grant_starting_balance


class AccountAdapter(DefaultAccountAdapter):
    def format_email_subject(self, subject: str) -> str:
        """Name the product, not the host."""
        return f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{subject}"


def open_account(user: User, *, now: datetime) -> Organization | None:
    """Return the organization that comes with a sign-up, made and credited at the first call, found at the next.

    None as long as no address of the user is confirmed.
    """
    if not EmailAddress.objects.filter(user=user, verified=True).exists():
        return None
    with transaction.atomic():
        organization = open_organization(name=_name(user), owner=user, now=now, signup=True)
        if settings.SIGNUP_CREDIT_NANOS:
            grant_starting_balance(organization, now=now)
        # At the first call only: what members chose since stays.
        if organization.created_at == now:
            balances.begin(organization, now=now)
    return organization


def organization_of(user: User, *, now: datetime) -> Organization | None:
    """Where the user belongs: a step of the sign-up that got lost is made up for."""
    if Organization.objects.filter(signup_user=user).exists() or not user.memberships.exists():
        opened = open_account(user, now=now)
        if opened:
            return opened
    return Organization.objects.of(user).order_by("id").first()


@receiver(email_confirmed)
def open_account_when_confirmed(request: HttpRequest, email_address: EmailAddress, **kwargs: Any) -> None:
    if not email_address.user.memberships.exists():
        open_account(email_address.user, now=timezone.now())


def _name(user: User) -> str:
    return user.email.split("@")[0][:64].strip().capitalize() or "My organization"
