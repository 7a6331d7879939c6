"""Adding new events to the hourly and daily sums."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db import connection

from billing.meters import METERS
from billing.models import RollupKind

MEASURES = ("events", "errors", "charge_nanos", *METERS)


class Group(NamedTuple):
    """What a row sums over, besides its span of time. `route` is 0 for none, so that groups sort."""

    organization: int
    api_key: int
    model: int
    route: int
    kind: RollupKind


@dataclass(slots=True)
class Sums:
    """Signed: a correction's are differences."""

    events: int = 0
    errors: int = 0
    charge_nanos: int = 0
    meters: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Sums") -> None:
        self.events += other.events
        self.errors += other.errors
        self.charge_nanos += other.charge_nanos
        self.use(other.meters)

    def count(self, nanos: int, usage: Mapping[str, int], *, failed: bool) -> None:
        """Add one event."""
        self.events += 1
        self.errors += failed
        self.charge_nanos += nanos
        self.use(usage)

    def use(self, usage: Mapping[str, int]) -> None:
        meters = self.meters
        for meter, units in usage.items():
            meters[meter] = meters.get(meter, 0) + units


Hourly = Mapping[tuple[datetime, Group], Sums]
Daily = Mapping[tuple[date, Group], Sums]


def add(sums: Hourly) -> None:
    """Add to the rows of these hours and of their days (UTC)."""
    hours = {hour for hour, _ in sums}
    _stage(sums)
    _upsert("billing_hourlyusage", "hour")
    _upsert("billing_dailyusage", "day", together=len({hour.date() for hour in hours}) < len(hours))


def add_hourly(sums: Hourly) -> None:
    """Add to the rows of these hours."""
    _stage(sums)
    _upsert("billing_hourlyusage", "hour")


def add_daily(sums: Daily) -> None:
    """Add to the rows of these days."""
    _stage(sums)
    _upsert("billing_dailyusage", "day")


# Copied to a temporary table first: arrays of parameters took three times as long, on both sides.
CREATE_STAGING = (
    "CREATE TEMP TABLE IF NOT EXISTS rollup_staging (start timestamp, organization_id bigint, api_key_id bigint,"
    f" model_id bigint, route_id bigint, kind text, {', '.join(f'{name} bigint' for name in MEASURES)})"
    " ON COMMIT DELETE ROWS"
)


def _stage(sums: Hourly | Daily) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CREATE_STAGING)
        cursor.execute("TRUNCATE rollup_staging")
        with cursor.copy("COPY rollup_staging FROM STDIN") as copy:
            copy.write("".join(_rows(sums)))


def _rows(sums: Hourly | Daily) -> Iterator[str]:
    # In order of groups, as the rows are read again: so workers lock them in the same order.
    ordered: Iterable[tuple[tuple[Any, Group], Sums]] = sorted(sums.items(), key=_group_then_start)
    texts: dict[date, str] = {}
    for (start, (organization, api_key, model, route, kind)), measured in ordered:
        if start not in texts:
            # Without its zone, which is UTC.
            texts[start] = start.isoformat()[:19]
        meters = measured.meters
        units = "\t".join([str(meters[meter]) if meter in meters else "0" for meter in METERS])
        yield (
            f"{texts[start]}\t{organization}\t{api_key}\t{model}\t{route or NULL}\t{kind.value}"
            f"\t{measured.events}\t{measured.errors}\t{measured.charge_nanos}\t{units}\n"
        )


NULL = "\\N"


def _group_then_start(row: tuple[tuple[Any, Group], Sums]) -> tuple[Group, Any]:
    (start, group), _ = row
    return group, start


def _upsert(table: str, span: str, *, together: bool = False) -> None:
    """Add what is staged; `together` where several staged rows are of the same span."""
    start = "start AT TIME ZONE 'UTC'" if span == "hour" else "start::date"
    group = "organization_id, api_key_id, model_id, route_id, kind"
    measures = [f"sum({name})::bigint" if together else name for name in MEASURES]
    order = " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6, 1" if together else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS sums ({span}, {group}, {', '.join(MEASURES)})"  # noqa: S608  (names of ours)
            f" SELECT {start}, {group}, {', '.join(measures)} FROM rollup_staging{order}"
            f" ON CONFLICT (organization_id, {span}, api_key_id, model_id, route_id, kind)"
            f" DO UPDATE SET {', '.join(f'{name} = sums.{name} + excluded.{name}' for name in MEASURES)}"
        )
