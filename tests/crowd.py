"""A large vendor with usage on 30 days, as the daily sums have it: quicker than posting each request."""

from datetime import UTC, datetime

from django.db import connection

from billing.meters import METERS
from devstack.bench.vendor import MODELS, MODELS_OF_ONE, make_customers, make_models

__all__ = ["MODELS", "make_crowd"]

DAYS = 30
# Ten models after each other for each organization, on each of the days.
USAGE = f"""
WITH key AS (
    SELECT id, organization_id, row_number() OVER (ORDER BY id) AS place FROM accounts_apikey WHERE id = ANY(%s)
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
    make_models()
    keys = make_customers(now, keys=1)
    with connection.cursor() as cursor:
        cursor.execute(USAGE, [[key.pk for key in keys], now.date()])
        cursor.execute("ANALYZE")
