"""Deleting what was only to be kept for a time."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session

from billing import secret_use
from billing.nightly.shape import Night, Result


def clear(night: Night) -> Result:
    now = night.clock()
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    return {"hours of secrets in use": forget_secret_use(now), "sessions": sessions}


def forget_secret_use(now: datetime) -> int:
    """Counts of which hours had which secrets; the last 24 hours are always kept, because pages show them."""
    if not settings.SECRET_USE_DAYS:
        return 0
    return secret_use.forget_before(now - max(timedelta(days=settings.SECRET_USE_DAYS), 2 * secret_use.RECENT))
