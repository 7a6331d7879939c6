"""Closing the days before a night's date, each once it is ready, or overdue."""

from datetime import date, datetime

import structlog

from billing import turns
from billing.closing import OVERDUE, close_day, end_of, ready_to_close, start_of
from billing.models import ClosedDay
from billing.nightly.shape import Night, NotReadyError, Result
from billing.partitions import partition_days

log = structlog.get_logger(__name__)


def close(night: Night) -> Result:
    """Close the days that are over, the oldest first. Raises NotReadyError where one before the date isn't ready.

    Also later ones, where nights are caught up on: no proof finds them over and open.
    """
    closed, missing = [], 0
    for day in open_days(night.clock().date()):
        try:
            row = close_if_ready(day, night.clock())
        except NotReadyError:
            if day < night.date:
                raise
            break
        closed.append(row)
        missing += len(row.missing)
        log.info("day closed", day=str(day), missing=row.missing)
    return {"days closed": [str(row.day) for row in closed], "missing": missing}


def close_if_ready(day: date, now: datetime) -> ClosedDay:
    """Close a day. Raises NotReadyError with what is missing, unless it is overdue."""
    missing = ready_to_close(day, now)
    if missing and now < end_of(day) + OVERDUE:
        raise NotReadyError(f"{day} isn't closed yet. {' '.join(missing)}")
    try:
        return close_day(day, now)
    except turns.Busy as error:
        raise NotReadyError(f"{day} isn't closed yet. {error}") from error


def closed_until(now: datetime) -> datetime:
    """The midnight before which nothing is posted any more, but as an adjustment."""
    today = now.date()
    return start_of(min(open_days(today), default=today))


def open_days(before: date) -> list[date]:
    """The days before that date which aren't closed, of those that have a partition."""
    done = set(ClosedDay.objects.exclude(closed_at=None).values_list("day", flat=True))
    return sorted(day for day in partition_days() - done if day < before)
