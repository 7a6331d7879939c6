"""What an organization used: reads for pages. Lists read events, sums read rollups."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet, Sum

from accounts.models import ApiKey, Organization
from billing.models import Balance, DailyUsage, UsageEvent


@dataclass(frozen=True)
class Summary:
    """Amounts in nano-dollars; days are UTC."""

    balance_nanos: int
    spend_today_nanos: int
    spend_30d_nanos: int
    requests_today: int
    requests_30d: int


def events(organization: Organization) -> QuerySet[UsageEvent]:
    """The organization's requests, newest first."""
    found = UsageEvent.objects.filter(organization=organization)
    return found.select_related("api_key", "model").order_by("-id")


def requests(organization: Organization, *, before: UUID | None = None, limit: int = 50) -> list[UsageEvent]:
    """A page of requests, newest first, those older than `before`."""
    found = events(organization)
    return list((found.filter(id__lt=before) if before else found)[:limit])


def request(organization: Organization, request_id: UUID) -> UsageEvent:
    """One request. Raises UsageEvent.DoesNotExist, for another organization's too."""
    found = UsageEvent.objects.select_related("api_key", "model", "route", "segment", "price_version")
    return found.get(organization=organization, pk=request_id)


def summary(organization: Organization, *, now: datetime) -> Summary:
    """What the overview shows."""
    today = now.astimezone(UTC).date()
    usage = DailyUsage.objects.filter(organization=organization)
    spend_today, requests_today = _sums(usage.filter(day=today))
    spend_30d, requests_30d = _sums(usage.filter(day__gt=today - timedelta(days=30)))
    balance = Balance.objects.filter(organization=organization).first()
    return Summary(balance.nanos if balance else 0, spend_today, spend_30d, requests_today, requests_30d)


def daily_spend_by_model(organization: Organization, *, first: date, last: date) -> list[tuple[date, str, int, int]]:
    """(day, model id, nano-dollars, requests) of each day and model that had any, by day."""
    rows = DailyUsage.objects.filter(organization=organization, day__range=(first, last))
    sums = rows.values_list("day", "model__public_id").annotate(Sum("charge_nanos"), Sum("events"))
    return list(sums.order_by("day", "model__public_id"))


def spend_by_key(keys: Collection[ApiKey], *, since: datetime) -> dict[int, tuple[int, int]]:
    """Of these keys, by pk: (nano-dollars, requests) since that day's start."""
    rows = DailyUsage.objects.filter(api_key__in=keys, day__gte=since.astimezone(UTC).date())
    sums = rows.values_list("api_key_id").annotate(Sum("charge_nanos"), Sum("events"))
    return {key: (nanos, count) for key, nanos, count in sums.order_by()}


def _sums(rows: QuerySet[DailyUsage]) -> tuple[int, int]:
    sums = rows.aggregate(nanos=Sum("charge_nanos", default=0), count=Sum("events", default=0))
    return sums["nanos"], sums["count"]
