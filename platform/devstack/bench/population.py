"""Organizations, keys and models to measure with, written in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Model as Row
from django.utils import timezone

from accounts import secrets
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
            " billing_segment, billing_hourlyusage, billing_dailyusage, billing_secretuse, billing_closedday"
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
    found = [
        ApiKey(
            organization=orgs[number % len(orgs)],
            name=f"Key {number}",
            scopes=["chat", "embeddings", "models"],
            created_at=now,
        )
        for number in numbers
    ]
    _copy(found)
    ids = dict(ApiKey.objects.order_by("-pk")[: len(found)].values_list("public_id", "pk"))
    made = [secrets.generate("km-sk") for _ in found]
    _copy(
        [
            ApiKeySecret(
                api_key_id=ids[key.public_id],
                digest=secret.digest,
                pepper_id=secret.pepper_id,
                prefix=secret.prefix,
                last4=secret.last4,
                created_at=now,
            )
            for key, secret in zip(found, made, strict=True)
        ]
    )
    population.keys.extend(key.public_id for key in found)
    population.secrets.extend(secret.text for secret in made)
    population.owners.extend(key.organization.public_id for key in found)


def _copy(rows: Sequence[Row]) -> None:
    """As `bulk_create`, ten times as quick, without telling the rows their ids."""
    table = rows[0]._meta
    fields = {field.column: field for field in table.concrete_fields if field.column and not field.primary_key}
    with connection.cursor() as cursor, cursor.copy(f"COPY {table.db_table} ({', '.join(fields)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields.values()])


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
