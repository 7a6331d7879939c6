"""Keys near their budgets: told at 80 % and when nothing is left, once for each window and budget."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from accounts.models import ApiKey
from billing.models import NoticeKind, NoticeWatch
from billing.notices.giving import News, give
from billing.spending import spent
from hotstate.records import Spent

SHARES = (100, 80)
"""Percent, the largest first: of two that are reached at once the larger is told."""
BATCH = 500

# Of organizations whose balance moved since the last look.
CHANGED = """
SELECT balance.organization_id, version FROM billing_balance AS balance
LEFT JOIN billing_noticewatch AS watch ON watch.organization_id = balance.organization_id
WHERE version > coalesce(balance_version, 0) AND EXISTS (
    SELECT FROM accounts_apikey AS key WHERE key.organization_id = balance.organization_id AND revoked_at IS NULL
        AND coalesce(budget_day_nanos, budget_week_nanos, budget_month_nanos, budget_total_nanos) IS NOT NULL
)
ORDER BY balance.organization_id LIMIT %s
"""


def watch(now: datetime) -> int:
    """Tell of the keys of organizations that used something since the last look. Returns how many."""
    told = 0
    while changed := _changed():
        told += _look(dict(changed), now)
        if len(changed) < BATCH:
            break
    return told


def _changed() -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [BATCH])
        found: list[tuple[int, int]] = cursor.fetchall()
    return found


def _look(versions: dict[int, int], now: datetime) -> int:
    keys = list(ApiKey.objects.with_budgets().usable(now).filter(organization_id__in=versions).order_by("id"))
    with transaction.atomic():
        told = give(
            (news for key, of_key in zip(keys, spent(keys, now), strict=True) for news in _of(key, of_key, now)),
            now=now,
        )
        NoticeWatch.objects.bulk_create(
            [NoticeWatch(organization_id=pk, balance_version=version) for pk, version in versions.items()],
            update_conflicts=True,
            unique_fields=["organization"],
            update_fields=["balance_version"],
        )
    return told


def _of(key: ApiKey, of_key: Spent, now: datetime) -> Iterator[News]:
    """One for each budget that is nearly used."""
    today = now.astimezone(UTC).date()
    starts = {
        "day": str(today),
        "week": str(today - timedelta(days=today.weekday())),
        "month": str(today.replace(day=1)),
        "total": "",
    }
    for window, start in starts.items():
        budget = getattr(key.budgets, window)
        used = getattr(of_key, window)
        reached = next((share for share in SHARES if budget and used * 100 >= budget * share), None)
        if reached is None:
            continue
        facts = {
            "key": key.public_id,
            "key_name": key.name,
            "window": window,
            "share": reached,
            "used_nanos": used,
            "budget_nanos": budget,
        }
        subject = f"{key.public_id}:{window}:{start}:{budget}:{reached}"
        yield News(key.organization_id, NoticeKind.KEY_BUDGET, subject, facts)
