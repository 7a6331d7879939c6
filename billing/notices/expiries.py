"""Keys about to expire: told seven days and one day before. One that was made for less isn't told of."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from accounts.models import ApiKey
from billing.models import NoticeKind
from billing.notices.giving import News, give

DAYS = (1, 7)
"""Before; the smallest first: of two at once it is told."""


def tell(now: datetime) -> int:
    """Tell of the keys that expire soon. Returns how many."""
    soon = ApiKey.objects.usable(now).filter(expires_at__lte=now + timedelta(days=max(DAYS)))
    return give((news for key in soon.order_by("id").iterator() for news in _of(key, now)), now=now)


def _of(key: ApiKey, now: datetime) -> Iterator[News]:
    if key.expires_at is None:
        return
    for days in DAYS:
        ahead = timedelta(days=days)
        if key.expires_at <= now + ahead and key.created_at <= key.expires_at - ahead:
            facts = {"key": key.public_id, "key_name": key.name, "at": key.expires_at.isoformat(), "days": days}
            subject = f"{key.public_id}:{key.expires_at.isoformat()}:{days}"
            yield News(key.organization_id, NoticeKind.KEY_EXPIRY, subject, facts)
            return
