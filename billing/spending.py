"""What API keys with budgets have spent, from the daily sums."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import Q, Sum

from accounts.models import ApiKey
from billing.models import DailyUsage
from hotstate.records import Spent, Windows


def spent_by_organization(key_ids: Iterable[int], now: datetime) -> dict[int, list[Spent]]:
    """Organization pk → the spending of those of these keys (by pk) that have a budget."""
    keys = list(ApiKey.objects.filter(pk__in=set(key_ids)).with_budgets())
    found: dict[int, list[Spent]] = defaultdict(list)
    for key, of_key in zip(keys, spent(keys, now), strict=True):
        found[key.organization_id].append(of_key)
    return dict(found)


def spent(keys: Collection[ApiKey], now: datetime) -> list[Spent]:
    """What each of these has spent by UTC day, ISO week, month and in all, nano-dollars."""
    if not keys:
        return []
    today = now.astimezone(UTC).date()
    starts = {"day": today, "week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}
    of_windows = {
        f"this_{name}": Sum("charge_nanos", filter=Q(day__gte=start, day__lte=today), default=0)
        for name, start in starts.items()
    }
    sums = DailyUsage.objects.filter(api_key__in=keys).values("api_key")
    sums = sums.annotate(**of_windows, total=Sum("charge_nanos", default=0))
    found = {of_key: amounts for of_key, *amounts in sums.values_list("api_key", *of_windows, "total")}
    windows = Windows.at(now)
    return [Spent(key.public_id, windows, *map(int, found.get(key.pk, (0, 0, 0, 0)))) for key in keys]
