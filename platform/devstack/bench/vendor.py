"""A large vendor: 300 models with prices, costs and a partner's list, 200 organizations, and what they used."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import uuid_utils

from accounts.models import ApiKey, Organization
from billing import closing, posting, sequences
from billing.intake import receive_segment
from billing.models import Balance, Price, PriceList, PriceVersion, RouteCost, RouteCostLine, Segment
from billing.nightly.closing_days import open_days
from billing.partitions import ensure_partitions
from catalog.models import Model, Route, Upstream
from devstack.bench.population import LONG_AGO, PRICES

MODELS, ORGANIZATIONS, KEYS_OF_ONE, MODELS_OF_ONE = 300, 200, 5, 10
PAST_VERSIONS = 3
SOURCE = "gw-vendor"


def make_models() -> list[Model]:
    """Each with a route, a cost, and three versions of its prices, in the public list and in a partner's."""
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
    return models


def make_customers(now: datetime, *, keys: int = KEYS_OF_ONE) -> list[ApiKey]:
    """Organizations with so many keys each; the keys of the first come first."""
    organizations = Organization.objects.bulk_create(
        Organization(name=f"Customer {place}", created_at=now) for place in range(ORGANIZATIONS)
    )
    Balance.objects.bulk_create(Balance(organization=organization) for organization in organizations)
    return ApiKey.objects.bulk_create(
        ApiKey(
            organization=organization,
            name=f"Service {place}",
            scopes=["chat", "embeddings", "models"],
            budget_month_nanos=10**12 if place % 2 else None,
            created_at=now,
        )
        for organization in organizations
        for place in range(keys)
    )


def use(keys: Sequence[ApiKey], models: Sequence[Model], *, days: int, now: datetime) -> None:
    """On each of the days before this one, and today, every organization asked ten models; those days are closed."""
    today = now.astimezone(UTC).date()
    ensure_partitions(today, behind=days + 1)
    for behind in range(days, -1, -1):
        at = now - timedelta(days=behind)
        lines = [_line(key, models[(place + nth) % len(models)], at, nth) for place, key, nth in _each(keys)]
        # One that can't be charged: staff find it in quarantine.
        lines.append(_line(keys[0], models[0], at, len(lines)) | {"model": f"gone-{behind}"})
        segment, _ = receive_segment(
            f"vendor-{uuid_utils.uuid7()}",
            b"".join(msgspec.json.encode(line | {"seq": seq}) + b"\n" for seq, line in enumerate(lines, 1)),
            source=SOURCE,
            origin=Segment.Origin.GATEWAY,
            now=at,
        )
        posting.post_segment(segment.pk, now=at)
    sequences.note_sequences(now)
    for day in open_days(today):
        closing.close_day(day, now)


def _each(keys: Sequence[ApiKey]) -> list[tuple[int, ApiKey, int]]:
    """Of each organization one key after the other: its place, the key, and the number of the model."""
    by_owner: dict[int, list[ApiKey]] = {}
    for key in keys:
        by_owner.setdefault(key.organization_id, []).append(key)
    return [
        (place, owned[nth % len(owned)], nth)
        for place, owned in enumerate(by_owner.values())
        for nth in range(MODELS_OF_ONE)
    ]


def _line(key: ApiKey, model: Model, at: datetime, nth: int) -> dict[str, object]:
    identifier = UUID(int=int(at.timestamp() * 1000 - 1_000) << 80 | uuid_utils.uuid7().int & ((1 << 80) - 1))
    moment = datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
    return {
        "v": 1,
        "id": str(identifier),
        "source": SOURCE,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "key": key.public_id,
        "model": model.public_id,
        "endpoint": "chat.completions",
        "status": 200,
        "outcome": "completed",
        "usage": {"requests": 1, "input_tokens": 1_000 + nth, "output_tokens": 100 + nth},
        "stream": True,
        "ttft_ms": 120,
    }
