"""What is left of revenue after what upstreams charge, from the daily sums and the costs that were in force then.

Revenue is exact. Costs are not, because sums know no single request: they are taken at their first tier and without
variants, by the version in force when the day ended, and for failed requests too. Forecasts rate each event instead.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import lcm
from typing import Any

from django.db import connection

from billing.costs import prices_of
from billing.meters import METERS
from billing.models import RouteCost
from billing.tariff import Tariff

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


def margins(group: str, *, first: date, last: date, most: int = 500) -> list[Margin]:
    """By `group`, one of GROUPS, for UTC days; what earned the most first."""
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
)
SELECT coalesce({name}, 'no route'), coalesce({link}, ''), events, revenue, costed, round(cost / %s)
FROM summed LEFT JOIN {table} AS grouped ON grouped.id = grouped_id
ORDER BY revenue DESC, 1 LIMIT %s
""",  # noqa: S608  (names of ours)
            [*_columns(periods, meters, denominator), first, last, denominator, most],
        )
        return [Margin(*row[:2], *map(int, row[2:])) for row in cursor.fetchall()]


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
    costs = list(begun.prefetch_related("prices"))
    periods = []
    for place, cost in enumerate(costs, 1):
        following = costs[place] if place < len(costs) else None
        begins = _day(cost.effective_from)
        same = following is not None and following.route_id == cost.route_id
        ends = _day(following.effective_from) if same and following else FOREVER
        prices = prices_of(cost)
        if prices and begins < ends and ends > first:
            periods.append(_Period(cost.route_id, begins, ends, Tariff(0, prices)))
    meters = [meter for meter in METERS if any(period.tariff.rates.weights.get(meter) for period in periods)]
    return periods, meters


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
