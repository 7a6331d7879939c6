"""Bulk insertion of events: COPY to a staging table, then what is new moves on."""

from collections.abc import Iterable

import msgspec
from django.db import connection
from psycopg.types.json import Jsonb

from billing.rated import RatedEvent

COLUMNS = RatedEvent._fields[:-1]
TYPES = [
    *("uuid", "timestamptz", "int8", "int8", "int8", "int8", "int8", "int8", "int4", "text", "int8", "text", "int2"),
    *(
        "text",
        "bool",
        "bool",
        "text",
        "int4",
        "int4",
        "int2",
        "text",
        "jsonb",
        "int8",
        "int4[]",
        "int8",
        "text",
        "text",
        "int2",
    ),
]
_USAGE, _KIND = COLUMNS.index("usage"), COLUMNS.index("kind")


def insert_new(events: Iterable[RatedEvent]) -> list[RatedEvent]:
    """Insert events whose id isn't there yet; return those. Runs in the caller's transaction."""
    by_id = {event.id: event for event in events}
    if not by_id:
        return []
    columns = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS usage_staging (LIKE billing_usageevent) ON COMMIT DELETE ROWS")
        with cursor.copy(f"COPY usage_staging ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(TYPES)
            for event in by_id.values():
                copy.write_row(as_row(event))
        # In the order of ids, so that two workers with the same events never wait for each other in a circle.
        cursor.execute(
            f"INSERT INTO billing_usageevent ({columns}) SELECT {columns} FROM usage_staging ORDER BY id"  # noqa: S608
            " ON CONFLICT (id) DO NOTHING RETURNING id"
        )
        return [by_id[row[0]] for row in cursor.fetchall()]


def as_row(event: RatedEvent) -> list[object]:
    """The values of COLUMNS."""
    row: list[object] = list(event[:-1])
    row[_USAGE] = Jsonb(event.usage, dumps=msgspec.json.encode)
    row[_KIND] = event.kind.value
    return row
