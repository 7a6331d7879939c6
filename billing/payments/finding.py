"""Refunds and disputes that were made at Stripe, and of which no webhook told."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from billing.models import Dispute, PaymentMark, Refund
from billing.payments import disputes, payers, refunds
from billing.payments.calling import calling, livemode
from billing.payments.seen_back import SeenDispute, SeenRefund

OVERLAP = timedelta(hours=1)
"""How far before the last time is looked again: for clocks, and for what wasn't credited then."""

FIRST = timedelta(days=1)

Clock = Callable[[], datetime]
Seen = SeenRefund | SeenDispute


def find(clock: Clock) -> int:
    """Take what was made since the last time and isn't known; return how many. Raises RefusedError and UnknownError."""
    now = clock()
    since = (seen_until() or now - FIRST) - OVERLAP
    taken = _take_refunds(since, clock) + _take_disputes(since, clock)
    PaymentMark.objects.update_or_create(**_mode(), defaults={"seen_until": now})
    return taken


def seen_until() -> datetime | None:
    """When it was last done."""
    return PaymentMark.objects.filter(**_mode()).values_list("seen_until", flat=True).first()


def refunds_made(since: datetime, until: datetime | None = None) -> list[SeenRefund]:
    """Refunds of the account that were made from one moment to before another, by Stripe's clock."""
    with calling("refunds.list") as stripe:
        listed = stripe.refunds.list({"created": between(since, until), "limit": 100})
        return [SeenRefund.of(each) for each in listed.auto_paging_iter()]


def disputes_made(since: datetime, until: datetime | None = None) -> list[SeenDispute]:
    """As `refunds_made`."""
    with calling("disputes.list") as stripe:
        listed = stripe.disputes.list({"created": between(since, until), "limit": 100})
        return [SeenDispute.of(each) for each in listed.auto_paging_iter()]


def between(since: datetime, until: datetime | None) -> Any:
    """As lists at Stripe want it."""
    bounds = {"gte": int(since.timestamp())}
    return bounds | {"lt": int(until.timestamp())} if until else bounds


def _take_refunds(since: datetime, clock: Clock) -> int:
    made = refunds_made(since)
    known = set(Refund.objects.filter(stripe_id__in=[seen.id for seen in made]).values_list("stripe_id", flat=True))
    return sum(_take(seen, refunds.take, clock()) for seen in made if seen.id not in known)


def _take_disputes(since: datetime, clock: Clock) -> int:
    made = disputes_made(since)
    known = set(Dispute.objects.filter(stripe_id__in=[seen.id for seen in made]).values_list("stripe_id", flat=True))
    return sum(_take(seen, disputes.take, clock()) for seen in made if seen.id not in known)


def _take(seen: Seen, take: Callable[..., object], now: datetime) -> bool:
    top_up = payers.paid_top_up(seen.payment_intent, now=now)
    return top_up is not None and take(top_up, seen, now=now) is not None


def _mode() -> dict[str, Any]:
    return {"account": settings.STRIPE_ACCOUNT, "livemode": livemode()}
