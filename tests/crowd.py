"""A large vendor: 300 models with prices and costs, 200 organizations with usage on 30 days. Made by bulk inserts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import ApiKey, Organization
from billing.meters import METERS
from billing.models import (
    Balance,
    Price,
    PriceList,
    PriceVersion,
    RouteCost,
    RouteCostLine,
)
from catalog.models import Model, Route, Upstream
from tests.cast import LONG_AGO, PRICES

MODELS, ORGANIZATIONS, DAYS, MODELS_OF_ONE = 300, 200, 30, 10
PAST_VERSIONS = 3
# Ten models after each other for each organization, on each of the days.
USAGE = f"""
WITH key AS (
    SELECT id, organization_id, row_number() OVER (ORDER BY id) AS place FROM accounts_apikey WHERE name = 'of a crowd'
), route AS (
    SELECT id, model_id, row_number() OVER (ORDER BY id) AS place FROM catalog_route
)
INSERT INTO billing_dailyusage (
    organization_id, api_key_id, model_id, route_id, kind, day, events, errors, charge_nanos, {", ".join(METERS)}
)
SELECT key.organization_id, key.id, route.model_id, route.id, 'usage', %s::date - days, 100, 0, 450000000 + key.place,
    {", ".join("100000" if meter == "input_tokens" else "0" for meter in METERS)}
FROM key, route, generate_series(0, {DAYS - 1}) AS days
WHERE route.place >= key.place AND route.place < key.place + {MODELS_OF_ONE}
"""


def make_crowd(now: datetime | None = None) -> None:
    """Each organization used ten of the models on each of the days."""
    now = now or datetime.now(UTC)
    _models()
    _keys(now)
    with connection.cursor() as cursor:
        cursor.execute(USAGE, [now.date()])
        cursor.execute("ANALYZE")


def _models() -> None:
    upstreams = Upstream.objects.bulk_create(
        Upstream(name=f"upstream-{place}", base_url=f"http://10.0.0.{place}/v1") for place in range(3)
    )
    models = Model.objects.bulk_create(
        Model(
            public_id=f"lab-{place % 12}/model-{place:03}",
            name=f"Model {place}",
            owned_by=f"lab-{place % 12}",
            families=["embeddings"] if place % 10 == 0 else ["chat", "completions"],
            created_at=LONG_AGO,
        )
        for place in range(MODELS)
    )
    routes = Route.objects.bulk_create(
        Route(model=model, upstream=upstreams[place % 3], upstream_model=model.name)
        for place, model in enumerate(models)
    )
    own = PriceList.objects.create(name="Partner", created_at=LONG_AGO)
    versions = PriceVersion.objects.bulk_create(
        PriceVersion(
            model=model,
            price_list=price_list,
            effective_from=LONG_AGO + timedelta(days=30 * nth),
            created_at=LONG_AGO,
            reason=f"Round {nth}",
        )
        for model in models
        for price_list in (None, own)
        for nth in range(PAST_VERSIONS)
    )
    Price.objects.bulk_create(
        Price(version=version, meter=meter, amount_nanos=amount + place * 1_000, per_units=per)
        for place, version in enumerate(versions)
        for meter, (amount, per) in PRICES.items()
    )
    costs = RouteCost.objects.bulk_create(
        RouteCost(route=route, effective_from=LONG_AGO, created_at=LONG_AGO) for route in routes
    )
    RouteCostLine.objects.bulk_create(
        RouteCostLine(cost=cost, meter=meter, amount_nanos=amount // 2, per_units=per)
        for cost in costs
        for meter, (amount, per) in PRICES.items()
    )


def _keys(now: datetime) -> None:
    organizations = Organization.objects.bulk_create(
        Organization(name=f"Customer {place}", created_at=now) for place in range(ORGANIZATIONS)
    )
    Balance.objects.bulk_create(Balance(organization=organization) for organization in organizations)
    fields: dict[str, Any] = {"scopes": ["chat"], "created_at": now}
    ApiKey.objects.bulk_create(
        ApiKey(organization=organization, name="of a crowd", **fields) for organization in organizations
    )
