"""What API keys with budgets have spent, from the daily sums."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import Q, Sum

from accounts.models import ApiKey
from billing.models import DailyUsage
from hotstate.records import Spent, Windows


def spent_by_organization(key_ids: Iterable[int], now: datetime) -> dict[int, list[Spent]]:
    """Organization pk → the spending of those of these keys (by pk) that have a budget."""
    keys = ApiKey.objects.filter(pk__in=set(key_ids)).with_budgets()
    found: dict[int, list[Spent]] = defaultdict(list)
    for key in keys:
        found[key.organization_id].append(spent(key, now))
    return dict(found)


def spent(key: ApiKey, now: datetime) -> Spent:
    """By UTC day, ISO week, month and in all, nano-dollars."""
    today = now.astimezone(UTC).date()
    starts = {"day": today, "week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}
    sums = DailyUsage.objects.filter(api_key=key).aggregate(
        total=Sum("charge_nanos", default=0),
        **{
            f"this_{name}": Sum("charge_nanos", filter=Q(day__gte=start, day__lte=today), default=0)
            for name, start in starts.items()
        },
    )
    amounts = {name.removeprefix("this_"): int(nanos) for name, nanos in sums.items()}
    return Spent(key=key.public_id, windows=Windows.at(now), **amounts)
