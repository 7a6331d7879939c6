"""What upstreams charge us, by route: entered by staff, charged to nobody, and what margins are counted with."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction

from accounts.models import User, audit
from billing.models import RouteCost, RouteCostLine
from billing.price_rules import validate
from billing.prices import told_all
from billing.tariff import Tariff, UnitPrice
from catalog.models import Route


def set_cost(
    route: Route,
    prices: Sequence[UnitPrice],
    *,
    effective_from: datetime | None,
    actor: User | None,
    reason: str,
    now: datetime,
) -> RouteCost:
    """Add a version, which may start in the past. One that starts at the same moment is superseded. Raises PriceError.

    No prices at all: from then on nobody knows what the route costs.
    """
    if prices:
        validate(prices)
    starts = effective_from or now
    with transaction.atomic():
        Route.objects.select_for_update(no_key=True).get(pk=route.pk)
        before = RouteCost.objects.in_force(starts).filter(route=route).prefetch_related("prices").first()
        RouteCost.objects.standing().filter(route=route, effective_from=starts).update(superseded_at=now)
        cost = RouteCost.objects.create(
            route=route, effective_from=starts, created_at=now, created_by=actor, reason=reason
        )
        RouteCostLine.objects.bulk_create(RouteCostLine(cost=cost, **price._asdict()) for price in prices)
        audit.record(
            "cost.set",
            f"route:{route}",
            actor=actor,
            before=told_all(prices_of(before), []) if before else {},
            after={**told_all(prices, []), "effective_from": starts},
            reason=reason,
            now=now,
        )
    return cost


def prices_of(cost: RouteCost) -> list[UnitPrice]:
    lines = sorted(cost.prices.all(), key=lambda line: line.pk)
    return [
        UnitPrice(line.meter, line.amount_nanos, line.per_units, line.from_input_tokens, line.variant) for line in lines
    ]


def cost_tariffs(routes: Iterable[int], at: datetime) -> dict[int, Tariff]:
    """Route pk → what requests cost us at that moment, of the routes whose cost is known."""
    found = RouteCost.objects.in_force(at).filter(route_id__in=list(routes)).prefetch_related("prices")
    priced = {cost.route_id: prices_of(cost) for cost in found}
    return {route: Tariff(0, prices) for route, prices in priced.items() if prices}
