"""Day partitions of usage events, made ahead of time. A UUIDv7's first 48 bits are its Unix milliseconds."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db import connection

DAYS_BEHIND = 3
DAYS_AHEAD = 7


def ensure_partitions(today: date, *, behind: int = DAYS_BEHIND, ahead: int = DAYS_AHEAD) -> None:
    """Create the partitions of the days around `today` (UTC) that don't exist yet."""
    with connection.cursor() as cursor:
        for offset in range(-behind, ahead + 1):
            day = today + timedelta(days=offset)
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {partition_name(day)} PARTITION OF billing_usageevent"
                f" FOR VALUES FROM ('{first_id(day)}') TO ('{first_id(day + timedelta(days=1))}')"
            )


def partition_name(day: date) -> str:
    return f"billing_usageevent_{day:%Y%m%d}"


def first_id(day: date) -> UUID:
    """The smallest 128-bit value whose time falls on or after that day's start."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UUID(int=int(start.timestamp() * 1000) << 80)


def partition_days() -> set[date]:
    """The days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits"
            " WHERE inhparent = 'billing_usageevent'::regclass"
        )
        return {datetime.strptime(row[0], "%Y%m%d").replace(tzinfo=UTC).date() for row in cursor.fetchall()}
