"""Deleting what was only to be kept for a time."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session

from billing import secret_use, stored
from billing.models import WebhookEvent
from billing.nightly.shape import Night, Result

RESENT = timedelta(days=30)


def clear(night: Night) -> Result:
    now = night.clock()
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    return {
        "hours of secrets in use": forget_secret_use(now),
        "sessions": sessions,
        "stored answers": stored.forget_before(now - timedelta(days=settings.STORED_DAYS)),
        "webhook events": forget_webhooks(now),
    }


def forget_secret_use(now: datetime) -> int:
    """Counts of which hours had which secrets; the last 24 hours are always kept, because pages show them."""
    if not settings.SECRET_USE_DAYS:
        return 0
    return secret_use.forget_before(now - max(timedelta(days=settings.SECRET_USE_DAYS), 2 * secret_use.RECENT))


def forget_webhooks(now: datetime) -> int:
    """Events that were handled. Never those of the last 30 days, in which Stripe can send them again."""
    if not settings.STRIPE_EVENT_DAYS:
        return 0
    before = now - max(timedelta(days=settings.STRIPE_EVENT_DAYS), RESENT)
    deleted, _ = WebhookEvent.objects.filter(received_at__lt=before).exclude(handled_at=None).delete()
    return deleted
