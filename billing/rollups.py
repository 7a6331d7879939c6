"""Adding new events to the hourly and daily sums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, TypeVar

from django.db import connection

from billing.meters import METERS
from billing.models import RollupKind

Span = TypeVar("Span", date, datetime)


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
        for meter, units in other.meters.items():
            self.meters[meter] = self.meters.get(meter, 0) + units


def add_hourly(sums: Mapping[tuple[datetime, Group], Sums]) -> None:
    """Add to the rows of these hours."""
    _upsert("billing_hourlyusage", "hour", "timestamptz", sums)


def add_daily(sums: Mapping[tuple[date, Group], Sums]) -> None:
    """Add to the rows of these days."""
    _upsert("billing_dailyusage", "day", "date", sums)


def _upsert(table: str, span: str, span_type: str, sums: "Mapping[tuple[Span, Group], Sums]") -> None:
    # Sorted, so that workers lock rows in the same order.
    rows: list[tuple[tuple[Any, Group], Sums]] = sorted(sums.items(), key=_group_then_start)
    measures: list[str] = ["events", "errors", "charge_nanos", *METERS]
    columns: list[list[Any]] = [
        [start for (start, _), _ in rows],
        *([getattr(group, name) for (_, group), _ in rows] for name in Group._fields[:3]),
        [group.route or None for (_, group), _ in rows],
        [group.kind.value for (_, group), _ in rows],
        *([getattr(measure, name) for _, measure in rows] for name in measures[:3]),
        *([measure.meters.get(meter, 0) for _, measure in rows] for meter in METERS),
    ]
    names = [span, "organization_id", "api_key_id", "model_id", "route_id", "kind", *measures]
    types = [span_type, "bigint", "bigint", "bigint", "bigint", "text", *["bigint"] * len(measures)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS sums ({', '.join(names)})"  # noqa: S608  (names of ours)
            f" SELECT * FROM unnest({', '.join(f'%s::{type_}[]' for type_ in types)})"
            f" ON CONFLICT (organization_id, {span}, api_key_id, model_id, route_id, kind)"
            f" DO UPDATE SET {', '.join(f'{name} = sums.{name} + excluded.{name}' for name in measures)}",
            columns,
        )


def _group_then_start(row: tuple[tuple[Any, Group], Sums]) -> tuple[Group, Any]:
    (start, group), _ = row
    return group, start
