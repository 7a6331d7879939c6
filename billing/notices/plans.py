"""Plans that were renewed, couldn't be, or ended: from the subscriptions' events, each told once."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from billing.models import Notice, NoticeKind, SubscriptionEvent
from billing.notices.giving import News, give

Kind = SubscriptionEvent.Kind
TOLD = (Kind.RENEWED, Kind.PAST_DUE, Kind.ENDED)
# What is older was told, or is no news any more.
RECENT = timedelta(days=3)


def tell(now: datetime) -> int:
    """Tell of what happened lately. Returns how many."""
    events = SubscriptionEvent.objects.filter(kind__in=TOLD, noted_at__gt=now - RECENT, noted_at__lte=now)
    unheard = events.exclude(pk__in=_told_of(events.values_list("pk", flat=True)))
    return give((_news(event) for event in unheard.select_related("version__plan").order_by("id")), now=now)


def _told_of(pks: Iterable[int]) -> list[int]:
    subjects = [str(pk) for pk in pks]
    told = Notice.objects.filter(kind=NoticeKind.PLAN, subject__in=subjects).values_list("subject", flat=True)
    return [int(subject) for subject in told]


def _news(event: SubscriptionEvent) -> News:
    facts = {
        "event": event.kind,
        "cause": event.cause,
        "plan": event.version.plan.name,
        "at": event.at.isoformat(),
        "fee_nanos": event.nanos if event.kind == Kind.RENEWED else event.version.fee_nanos,
    }
    return News(event.organization_id, NoticeKind.PLAN, str(event.pk), facts)
