"""Day partitions of usage events, made ahead of time. A UUIDv7's first 48 bits are its Unix milliseconds.

Functions in the database make and detach them: only who owns the table may, and servers may sign in as another role.
"""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import structlog
from django.db import OperationalError, connection, transaction

from billing import turns
from billing.models import ClosedDay

log = structlog.get_logger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS_BEHIND = 3
DAYS_AHEAD = 7


def ensure_partitions(today: date, *, behind: int = DAYS_BEHIND, ahead: int = DAYS_AHEAD) -> None:
    """Create the partitions of the days around `today` (UTC) that don't exist yet."""
    with connection.cursor() as cursor:
        for offset in range(-behind, ahead + 1):
            cursor.execute("SELECT billing_make_partition(%s)", [today + timedelta(days=offset)])


def partition_name(day: date) -> str:
    return f"billing_usageevent_{day:%Y%m%d}"


def first_id(day: date) -> UUID:
    """The smallest 128-bit value whose time falls on or after that day's start."""
    return first_id_at(datetime(day.year, day.month, day.day, tzinfo=UTC))


def first_id_at(moment: datetime) -> UUID:
    """The smallest 128-bit value whose time is that moment's millisecond."""
    return UUID(int=(moment - EPOCH) // timedelta(milliseconds=1) << 80)


def partition_days() -> set[date]:
    """The days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits"
            " WHERE inhparent = 'billing_usageevent'::regclass"
        )
        return {datetime.strptime(row[0], "%Y%m%d").replace(tzinfo=UTC).date() for row in cursor.fetchall()}


def detach_old(today: date, *, keep_days: int) -> list[date]:
    """Detach the partitions of closed days that are older than `keep_days` (0: none ever); return those days.

    Their tables stay, for whoever drops or moves them. Days that aren't closed stay too.
    """
    if not keep_days:
        return []
    old = sorted(day for day in partition_days() if day < today - timedelta(days=keep_days))
    closed = ClosedDay.objects.filter(day__in=old).exclude(closed_at=None).order_by("day")
    detached = []
    for day in closed.values_list("day", flat=True):
        try:
            _detach(day)
        except OperationalError as error:
            # A long posting or query reads it: the next time.
            log.warning("partition not detached yet", day=str(day), error=str(error))
            break
        log.info("partition detached", day=str(day))
        detached.append(day)
    return detached


@transaction.atomic
def _detach(day: date) -> None:
    """No posting sees the partition at its beginning and misses it at its end."""
    with connection.cursor() as cursor:
        # Usage waits behind this, so it doesn't wait long itself.
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        turns.take()
        cursor.execute("SELECT billing_detach_partition(%s)", [day])
        cursor.execute("SET LOCAL lock_timeout = 0")
