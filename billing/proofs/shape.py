"""What a proof is: a question to the books, asked set by set in SQL, in memory that doesn't grow with them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from billing.partitions import first_id, partition_days


@dataclass(frozen=True)
class Extent:
    """What is to be proved: one UTC day, or everything. `event_days` are the days whose events are there."""

    day: date | None
    now: datetime
    event_days: list[date]

    @classmethod
    def of(cls, day: date | None, now: datetime) -> "Extent":
        return cls(day, now, sorted(found for found in partition_days() if day in (None, found)))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"day": self.day, "now": self.now}

    def parameters_of(self, event_day: date) -> dict[str, Any]:
        """For the events of one day: also its ids and its hours."""
        following = event_day + timedelta(days=1)
        return {
            "day": event_day,
            "now": self.now,
            "first": first_id(event_day),
            "end": first_id(following),
            "midnight": datetime(event_day.year, event_day.month, event_day.day, tzinfo=UTC),
            "next_midnight": datetime(following.year, following.month, following.day, tzinfo=UTC),
        }


@dataclass(frozen=True)
class Finding:
    """How many things were checked, how many of them are wrong, and one of those, in words."""

    checked: int = 0
    wrong: int = 0
    offender: str = ""

    def __add__(self, other: "Finding") -> "Finding":
        return Finding(self.checked + other.checked, self.wrong + other.wrong, self.offender or other.offender)


Check = Callable[[Extent], Finding]


@dataclass(frozen=True)
class Proof:
    """`claim` is what holds if it is green, in a sentence for staff."""

    name: str
    claim: str
    check: Check


def look(sql: str, parameters: Mapping[str, Any]) -> Finding:
    """Ask for one row per thing checked: its column `wrong` says in words what is wrong with it, or is null."""
    with connection.cursor() as cursor:
        # The least of the offenders by words: it needs no room, however many there are.
        cursor.execute(f"SELECT count(*), count(wrong), min(wrong) FROM ({sql}) AS checked", parameters)  # noqa: S608
        checked, wrong, offender = cursor.fetchone()
    return Finding(checked, wrong, offender or "")


def over_all(sql: str) -> Check:
    """A check that is asked once. `%(day)s` is null for everything."""
    return lambda extent: look(sql, extent.parameters)


def by_event_day(sql: str) -> Check:
    """A check that is asked for each day whose events are there, so that no query is larger than a day."""
    return lambda extent: together(look(sql, extent.parameters_of(day)) for day in extent.event_days)


def together(findings: Iterable[Finding]) -> Finding:
    return sum(findings, Finding())
