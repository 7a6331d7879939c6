"""Organizations, keys and models to measure with, written in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Model as Row
from django.utils import timezone

from accounts import secrets
from accounts.identifiers import key_id, secret_id
from accounts.models import ApiKey, ApiKeySecret, Organization
from billing import ledger
from billing.models import Account, CreditGrant, Price, PriceVersion, TransactionKind
from catalog.models import Model, Route, Upstream

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
START_NANOS = 10**15
BATCH = 20_000
PRICES = {"input_tokens": (3 * 10**9, 10**6), "output_tokens": (15 * 10**9, 10**6)}


@dataclass(frozen=True)
class Population:
    """Public ids; `secrets` are the keys' secrets, in the order of `keys`, `owners` the organization of each."""

    organizations: list[str]
    keys: list[str]
    secrets: list[str]
    owners: list[str]
    models: list[str]


def empty_database() -> None:
    """Start from nothing. Only ever called with a database that the bench made itself."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL keymeter.allow_truncate = 'on'")
        cursor.execute(
            "TRUNCATE accounts_organization, catalog_upstream, catalog_model, billing_usageevent, hotstate_outboxentry,"
            " billing_segment, billing_hourlyusage, billing_dailyusage, billing_secretuse, billing_closedday,"
            " gateway_gatewaycredential"
            " RESTART IDENTITY CASCADE"
        )


@transaction.atomic
def populate(*, organizations: int, keys: int, models: int) -> Population:
    """Write so many of each; every organization has $1,000,000."""
    now = timezone.now()
    orgs = Organization.objects.bulk_create(
        Organization(name=f"Organization {number}", created_at=now) for number in range(organizations)
    )
    population = Population([organization.public_id for organization in orgs], [], [], [], _models(models))
    for first in range(0, keys, BATCH):
        _add_keys(population, orgs, range(first, min(keys, first + BATCH)), now)
    give_credit(orgs, now)
    return population


def _add_keys(population: Population, orgs: list[Organization], numbers: range, now: datetime) -> None:
    names = [key_id() for _ in numbers]
    owners = [orgs[number % len(orgs)] for number in numbers]
    like = ApiKey(organization=orgs[0], scopes=["chat", "embeddings", "models"], created_at=now)
    titles = [f"Key {number}" for number in numbers]
    _copy(like, public_id=names, name=titles, organization_id=[owner.pk for owner in owners])
    ids = dict(ApiKey.objects.order_by("-pk")[: len(numbers)].values_list("public_id", "pk"))
    made = [secrets.generate("km-sk") for _ in numbers]
    _copy(
        ApiKeySecret(api_key_id=0, pepper_id=made[0].pepper_id, prefix=made[0].prefix, created_at=now),
        public_id=[secret_id() for _ in numbers],
        api_key_id=[ids[name] for name in names],
        digest=[secret.digest for secret in made],
        last4=[secret.last4 for secret in made],
    )
    population.keys.extend(names)
    population.secrets.extend(secret.text for secret in made)
    population.owners.extend(owner.public_id for owner in owners)


def _copy(like: Row, **columns: Sequence[object]) -> None:
    """Rows like this one, but for these columns: fifty times as quick as `bulk_create`."""
    table = like._meta
    fields = {field.column: field for field in table.concrete_fields if field.column and not field.primary_key}
    same = {name: field.get_db_prep_save(field.pre_save(like, True), connection) for name, field in fields.items()}
    with connection.cursor() as cursor, cursor.copy(f"COPY {table.db_table} ({', '.join(fields)}) FROM STDIN") as copy:
        for own in zip(*columns.values(), strict=True):
            copy.write_row(list({**same, **dict(zip(columns, own, strict=True))}.values()))


def give_credit(organizations: list[Organization], now: datetime) -> None:
    """Each gets START_NANOS."""
    terms = ledger.GrantTerms(source=CreditGrant.Source.PROMOTION, priority=10)
    ledger.post(
        [
            ledger.Movement(
                operation_key=f"bench:{organization.pk}",
                kind=TransactionKind.GRANT,
                organization_id=organization.pk,
                nanos=START_NANOS,
                counter=Account.PROMOTIONS,
                event_day=now.date(),
                grant=terms,
            )
            for organization in organizations
        ],
        now=now,
    )


def _models(count: int) -> list[str]:
    upstream = Upstream.objects.create(name="bench", base_url="http://127.0.0.1:9/v1")
    names = []
    for number in range(count):
        model = Model.objects.create(
            public_id=f"bench-{number}", name="Bench", owned_by="bench", families=["chat"], created_at=LONG_AGO
        )
        Route.objects.create(model=model, upstream=upstream, upstream_model="bench")
        version = PriceVersion.objects.create(
            model=model, effective_from=LONG_AGO + timedelta(days=number), created_at=LONG_AGO
        )
        for meter, (amount, per) in PRICES.items():
            Price.objects.create(version=version, meter=meter, amount_nanos=amount, per_units=per)
        names.append(model.public_id)
    return names
