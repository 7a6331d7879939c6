"""What is left of revenue after what upstreams charge, from the daily sums and the costs that were in force then.

Revenue is exact. Costs are not, because sums know no single request: they are taken at their first tier and without
variants, by the version in force when the day ended, and for failed requests too. Forecasts rate each event instead.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from math import lcm
from typing import Any

from django.db import connection

from billing.meters import METERS
from billing.models import RouteCost, RouteCostLine
from billing.tariff import Tariff, UnitPrice

# By what the page groups: a name for each, the id that its page is found by, and the table's rows.
GROUPS = {
    "model": ("grouped.public_id", "grouped.id::text", "catalog_model", "model_id"),
    "organization": ("grouped.name", "grouped.public_id", "accounts_organization", "organization_id"),
    "route": (
        "(SELECT m.public_id || ' → ' || u.name FROM catalog_model m, catalog_upstream u"
        " WHERE m.id = grouped.model_id AND u.id = grouped.upstream_id)",
        "grouped.id::text",
        "catalog_route",
        "route_id",
    ),
}
FOREVER = date(9999, 12, 31)


@dataclass(frozen=True)
class Margin:
    """Nano-dollars. `costed_nanos` is the revenue of usage whose cost is known."""

    name: str
    link: str
    events: int
    revenue_nanos: int
    costed_nanos: int
    cost_nanos: int

    @property
    def margin_nanos(self) -> int:
        return self.costed_nanos - self.cost_nanos

    @property
    def percent(self) -> int | None:
        """Of the costed revenue, towards zero; None where there is none."""
        margin = self.margin_nanos
        return (abs(margin) * 100 // self.costed_nanos) * (1 if margin >= 0 else -1) if self.costed_nanos else None

    @property
    def unknown_nanos(self) -> int:
        return self.revenue_nanos - self.costed_nanos


@dataclass(frozen=True)
class Margins:
    """Some of a group, what earned the most first, and all of it summed; `count` is how many there are."""

    shown: list[Margin]
    total: Margin
    count: int


def margins(group: str, *, first: date, last: date, skip: int = 0, most: int = 100) -> Margins:
    """By `group`, one of GROUPS, for UTC days: `most` after the first `skip`."""
    periods, meters = _periods(first, last)
    denominator = lcm(*(period.tariff.denominator for period in periods))
    name, link, table, column = GROUPS[group]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
WITH cost (route_id, begins, ends{"".join(f", w_{meter}" for meter in meters)}) AS (
    SELECT * FROM unnest(%s::bigint[], %s::date[], %s::date[]{", %s::numeric[]" * len(meters)})
), summed AS (
    SELECT usage.{column} AS grouped_id, sum(usage.events) AS events, sum(usage.charge_nanos) AS revenue,
        coalesce(sum(usage.charge_nanos) FILTER (WHERE cost.route_id IS NOT NULL), 0) AS costed,
        coalesce(sum({" + ".join(f"usage.{meter} * cost.w_{meter}" for meter in meters) or "0"}), 0) AS cost
    FROM billing_dailyusage AS usage
    LEFT JOIN cost ON cost.route_id = usage.route_id AND usage.day >= cost.begins AND usage.day < cost.ends
    WHERE usage.day BETWEEN %s AND %s
    GROUP BY usage.{column}
), rounded AS (
    SELECT grouped_id, events, revenue, costed, round(cost / %s) AS cost FROM summed
), total AS (
    SELECT count(*) AS groups, coalesce(sum(events), 0) AS events, coalesce(sum(revenue), 0) AS revenue,
        coalesce(sum(costed), 0) AS costed, coalesce(sum(cost), 0) AS cost
    FROM rounded
), shown AS (
    SELECT rounded.*, coalesce({name}, 'no route') AS name, coalesce({link}, '') AS link
    FROM rounded LEFT JOIN {table} AS grouped ON grouped.id = grouped_id
    ORDER BY revenue DESC, name, link OFFSET %s LIMIT %s
)
SELECT 0, groups, 'In all', '', events, revenue, costed, cost FROM total
UNION ALL
SELECT row_number() OVER (ORDER BY revenue DESC, name, link), 0, name, link, events, revenue, costed, cost FROM shown
ORDER BY 1
""",  # noqa: S608  (names of ours)
            [*_columns(periods, meters, denominator), first, last, denominator, skip, most],
        )
        total, *rows = cursor.fetchall()
    return Margins([_margin(row) for row in rows], _margin(total), total[1])


def _margin(row: Sequence[Any]) -> Margin:
    return Margin(*row[2:4], *map(int, row[4:]))


@dataclass(frozen=True)
class _Period:
    """Days at whose end a cost of the route was in force."""

    route_id: int
    begins: date
    ends: date
    tariff: Tariff


def _periods(first: date, last: date) -> tuple[list[_Period], list[str]]:
    """What is needed for these days, and the meters that cost anything."""
    begun = RouteCost.objects.standing().filter(effective_from__lt=_end(last)).order_by("route_id", "effective_from")
    costs = list(begun.values_list("pk", "route_id", "effective_from"))
    prices = _prices([pk for pk, _, _ in costs])
    periods = []
    for (pk, route, starts), (_, next_route, next_starts) in pairwise([*costs, (0, 0, _end(last))]):
        begins, ends = _day(starts), _day(next_starts) if route == next_route else FOREVER
        if pk in prices and begins < ends and ends > first:
            periods.append(_Period(route, begins, ends, _tariff(prices[pk])))
    meters = [meter for meter in METERS if any(period.tariff.rates.weights.get(meter) for period in periods)]
    return periods, meters


def _prices(costs: list[int]) -> dict[int, tuple[UnitPrice, ...]]:
    """The prices of each that has any."""
    found: dict[int, list[UnitPrice]] = defaultdict(list)
    lines = RouteCostLine.objects.filter(cost_id__in=costs).order_by("pk")
    for cost, *price in lines.values_list("cost_id", *UnitPrice._fields):
        found[cost].append(UnitPrice(*price))
    return {cost: tuple(prices) for cost, prices in found.items()}


@lru_cache(maxsize=4096)
def _tariff(prices: tuple[UnitPrice, ...]) -> Tariff:
    return Tariff(0, prices)


def _columns(found: list[_Period], meters: list[str], denominator: int) -> list[list[Any]]:
    """Weights are nano-dollars per unit, over the denominator."""
    return [
        [period.route_id for period in found],
        [period.begins for period in found],
        [period.ends for period in found],
        *([_weight(period.tariff, meter, denominator) for period in found] for meter in meters),
    ]


def _weight(tariff: Tariff, meter: str, denominator: int) -> int:
    return tariff.rates.weights.get(meter, 0) * (denominator // tariff.denominator)


def _end(day: date) -> datetime:
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
