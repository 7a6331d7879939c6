"""A schema of its own in which segments are posted again by the same code: its tables stand before the real ones.

It lives in a transaction that is always rolled back, so nothing of it stays, nobody sees it, and nothing is told to
Valkey or to workers, whatever happens to the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

from django.db import connection, models, transaction

from accounts.models import Alarm
from billing.models import (
    Balance,
    ClosedDay,
    CreditGrant,
    DailyUsage,
    GrantBurn,
    HourlyUsage,
    LedgerEntry,
    LedgerTransaction,
    PriceVersion,
    QuarantinedLine,
    SecretUse,
    Segment,
    UsageEvent,
)
from billing.partitions import first_id, partition_days, partition_name
from hotstate.models import OutboxEntry

SCHEMA = "rebuilt"
# What a posting writes. It begins empty, but for the segments.
WRITTEN: list[type[models.Model]] = [
    *(Segment, QuarantinedLine, HourlyUsage, DailyUsage, LedgerTransaction, LedgerEntry, Balance, CreditGrant),
    *(GrantBurn, SecretUse, OutboxEntry, Alarm),
]


@contextmanager
def scratch_schema() -> Iterator[str]:
    """Within it unqualified names mean the scratch tables; gives the name of the schema that has the real ones."""
    with transaction.atomic():
        callbacks = len(connection.run_on_commit)
        with connection.cursor() as cursor:
            if not transaction.get_connection().savepoint_ids:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT current_schema()")
            real: str = cursor.fetchone()[0]
        _build(real)
        try:
            yield real
        finally:
            del connection.run_on_commit[callbacks:]
            transaction.set_rollback(True)


def see_as_of(number: int) -> None:
    """Let postings see the closed days and the prices that the posting of that number saw."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('keymeter.as_of', %s, true)", [str(number)])


def _build(real: str) -> None:
    days = partition_days() | set(DailyUsage.objects.values_list("day", flat=True).distinct())
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        for model in WRITTEN:
            table = model._meta.db_table
            cursor.execute(f"CREATE TABLE {SCHEMA}.{table} (LIKE {real}.{table} INCLUDING ALL)")
        events = UsageEvent._meta.db_table
        cursor.execute(f"CREATE TABLE {SCHEMA}.{events} (LIKE {real}.{events} INCLUDING ALL) PARTITION BY RANGE (id)")
        for day in sorted(days):
            cursor.execute(_partition(events, day))
        cursor.execute(f"CREATE SEQUENCE {SCHEMA}.billing_turn")
        stood = "CASE WHEN until_number > {n} THEN NULL ELSE superseded_at END"
        cursor.execute(_seen(real, PriceVersion, superseded_at=stood))
        cursor.execute(_seen(real, ClosedDay))
        cursor.execute(f"SET LOCAL search_path TO {SCHEMA}, {real}")
    see_as_of(0)


def _partition(events: str, day: date) -> str:
    bounds = f"FROM ('{first_id(day)}') TO ('{first_id(day + timedelta(days=1))}')"
    return f"CREATE TABLE {SCHEMA}.{partition_name(day)} PARTITION OF {SCHEMA}.{events} FOR VALUES {bounds}"


def _seen(real: str, model: type[models.Model], **computed: str) -> str:
    """A view of a table as it was at the number that is set."""
    number = "current_setting('keymeter.as_of')::bigint"
    came = "since_number" if model is PriceVersion else "number"
    table = model._meta.db_table
    columns = [str(field.column) for field in model._meta.concrete_fields]
    selected = [f"{computed[name].format(n=number)} AS {name}" if name in computed else name for name in columns]
    return (
        f"CREATE VIEW {SCHEMA}.{table} AS SELECT {', '.join(selected)} FROM {real}.{table}"  # noqa: S608
        f" WHERE {came} IS NULL OR {came} <= {number}"
    )
