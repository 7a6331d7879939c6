"""People with browsers, and requests that their keys made."""

import time
from datetime import UTC, datetime
from typing import Any

from allauth.account.models import EmailAddress
from django.test import Client

from accounts.models import ApiKey, User
from billing import posting
from billing.models import UsageEvent
from billing.partitions import ensure_partitions
from catalog.models import Model
from tests.cast import make_segment, make_user, raw, usage_line

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def person(email: str, **fields: Any) -> User:
    user = make_user(email, **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user, backend=BACKEND)
    return browser


def passed_second_factor(browser: Client, user: User) -> None:
    """What allauth notes in the session after a right code."""
    session = browser.session
    session["account_authentication_methods"] = [{"method": "mfa", "at": time.time(), "type": "totp"}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def use(key: ApiKey, model: Model, count: int = 1, **fields: Any) -> list[UsageEvent]:
    """Post requests of a key as a gateway's segment would; newest first."""
    ensure_partitions(datetime.now(UTC).date())
    already = UsageEvent.objects.count()
    lines = [usage_line(key, model.public_id, seq=already + place + 1, **fields) for place in range(count)]
    segment = make_segment(raw(*lines))
    posting.post_segment(segment.pk, now=datetime.now(UTC))
    return list(UsageEvent.objects.filter(segment_id=segment.pk).order_by("-id"))
