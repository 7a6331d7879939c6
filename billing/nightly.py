"""What is done by night, in steps that do nothing twice: expiring grants, closing the days that are over, proving."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import structlog

from billing import turns
from billing.closing import close_day, end_of, ready_to_close
from billing.expiry import expire_grants
from billing.models import ClosedDay
from billing.partitions import partition_days
from billing.proofs import runs

log = structlog.get_logger(__name__)

# So long after its end a day is closed whatever is missing; the row says what was.
OVERDUE = timedelta(hours=6)


def keep_books(clock: Callable[[], datetime]) -> None:
    """All of it; called again and again, it does what has come due."""
    expire_grants(clock())
    close_days(clock())
    run = runs.nightly(clock())
    for pk in [*([run.pk] if run else []), *runs.waiting(clock())]:
        runs.carry_out(pk, clock)


def close_days(now: datetime) -> list[ClosedDay]:
    """Close the days that are over and ready, or overdue, the oldest first."""
    closed = []
    for day in open_days(now):
        missing = ready_to_close(day, now)
        if missing and now < end_of(day) + OVERDUE:
            log.info("day not closed yet", day=str(day), missing=missing)
            # The next one is later still.
            break
        try:
            closed.append(close_day(day, now))
        except turns.Busy as error:
            log.warning("day not closed yet", day=str(day), error=str(error))
            break
        log.info("day closed", day=str(day), missing=closed[-1].missing)
    return closed


def open_days(now: datetime) -> list[date]:
    """The days that are over and aren't closed, of those that have a partition."""
    done = set(ClosedDay.objects.exclude(closed_at=None).values_list("day", flat=True))
    return sorted(day for day in partition_days() - done if end_of(day) <= now)
