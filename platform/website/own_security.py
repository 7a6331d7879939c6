"""What staff change about how they sign in themselves leaves an entry in the audit trail."""

from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.dispatch import receiver
from django.utils import timezone

from accounts.models import User, audit

PASSWORDS = {password_changed: "change", password_set: "set", password_reset: "reset"}
SECOND_FACTORS = {authenticator_added: "add", authenticator_removed: "remove", authenticator_reset: "reset"}


@receiver(list(PASSWORDS))
def record_password(signal: Any, user: User, **kwargs: Any) -> None:
    if user.is_staff:
        _record(f"user.password_{PASSWORDS[signal]}", user)


@receiver(list(SECOND_FACTORS))
def record_second_factor(signal: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    if user.is_staff:
        _record(f"user.second_factor_{SECOND_FACTORS[signal]}", user, after={"type": authenticator.type})


def _record(action: str, user: User, **fields: Any) -> None:
    audit.record(action, f"user:{user}"[:120], actor=user, now=timezone.now(), **fields)
