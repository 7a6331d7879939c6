"""Bulk insertion of events: copied straight into their table, or by way of another where some are there already."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from billing.models import UsageEvent
from billing.rated import RatedEvent
from billing.rollups import NULL

COLUMNS = RatedEvent._fields[:-1]
_INTO = f"({', '.join(COLUMNS)}) FROM STDIN"
# So many events of a portion are looked for before it is copied: a failed copy leaves dead rows.
PROBES = 8


class Differing(NamedTuple):
    """An event that says something else than the one that is stored with its id, and of what."""

    event: RatedEvent
    of_what: str


class Inserted(NamedTuple):
    """The events that are new, and of those that aren't the ones that say something else than what is stored."""

    new: list[RatedEvent]
    differing: list[Differing]


def insert_new(events: Iterable[RatedEvent]) -> Inserted:
    """Insert events whose id isn't there yet; of several with one id the first. Runs in the caller's transaction."""
    first: dict[int, RatedEvent] = {}
    differing: list[Differing] = []
    for event in events:
        known = first.setdefault(event.id.int, event)
        if known is not event:
            differing += _differing(event, billable(known))
    # In the order of ids, so that two workers with the same events never wait for each other in a circle.
    ordered = [first[number] for number in sorted(first)]
    if not ordered:
        return Inserted([], differing)
    if not _any_stored(ordered[:: max(1, len(ordered) // PROBES)]):
        try:
            with transaction.atomic():
                _copy("billing_usageevent", ordered)
        except UniqueViolation:
            # One of them is there. Which, the other way tells.
            pass
        else:
            return Inserted(ordered, differing)
    new = _insert_by_staging(ordered)
    if len(new) < len(ordered):
        fresh = {event.id.int for event in new}
        differing += _differing_from_stored([event for event in ordered if event.id.int not in fresh])
    return Inserted(new, differing)


def billable(event: RatedEvent) -> tuple[Any, ...]:
    """What must be the same where an event comes again."""
    return event.api_key_id, event.model_id, event.outcome, event.usage, event.variant


def _any_stored(events: list[RatedEvent]) -> bool:
    return UsageEvent.objects.filter(pk__in=[event.id for event in events]).exists()


def _copy(table: str, events: Iterable[RatedEvent]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} {_INTO}") as copy:
        copy.write("".join(map(as_text, events)))


def _insert_by_staging(ordered: list[RatedEvent]) -> list[RatedEvent]:
    columns = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS usage_staging (LIKE billing_usageevent) ON COMMIT DELETE ROWS")
        cursor.execute("TRUNCATE usage_staging")
        _copy("usage_staging", ordered)
        cursor.execute(
            f"INSERT INTO billing_usageevent ({columns}) SELECT {columns} FROM usage_staging ORDER BY id"  # noqa: S608
            " ON CONFLICT (id) DO NOTHING RETURNING id"
        )
        fresh = {row[0].int for row in cursor.fetchall()}
    return [event for event in ordered if event.id.int in fresh]


def _differing_from_stored(again: list[RatedEvent]) -> Iterator[Differing]:
    fields = ("api_key_id", "model_id", "outcome", "usage", "variant")
    found = UsageEvent.objects.filter(pk__in=[event.id for event in again]).values_list("pk", *fields)
    stored = {pk: tuple(billable) for pk, *billable in found}
    for event in again:
        yield from _differing(event, stored[event.id])


def _differing(event: RatedEvent, stored: tuple[Any, ...]) -> list[Differing]:
    said = billable(event)
    if said == stored:
        return []
    names = ("key", "model", "outcome", "usage", "variant")
    others = [name for name, mine, known in zip(names, said, stored, strict=True) if mine != known]
    return [Differing(event, " and ".join(others))]


def as_text(event: RatedEvent) -> str:
    """The event as a line of COPY's text format."""
    texts = (event.source, event.endpoint, event.variant, event.upstream_request_id)
    if not (joined := "".join(texts)).isprintable() or "\\" in joined:
        source, endpoint, variant, upstream_request_id = map(_escaped, texts)
        event = event._replace(
            source=source, endpoint=endpoint, variant=variant, upstream_request_id=upstream_request_id
        )
    e = event
    return (
        f"{e.id.int:032x}\t{e.time.isoformat()}\t{e.organization_id}\t{e.api_key_id}\t{_number(e.secret_id)}"
        f"\t{e.model_id}\t{_number(e.route_id)}\t{e.segment_id}\t{e.line}\t{e.source}\t{e.seq}\t{e.endpoint}\t{e.status}"
        f"\t{e.outcome}\t{e.stream}\t{e.estimated}\t{e.variant}\t{_number(e.duration_ms)}\t{_number(e.ttft_ms)}"
        f"\t{e.attempts}\t{e.upstream_request_id}\t{_json(e.usage).decode()}\t{_number(e.price_version_id)}"
        f"\t{{{','.join(map(str, e.multipliers))}}}\t{e.charge_nanos}\t{e.reason}\t{e.kind.value}\t{e.estimator}\n"
    )


_json = msgspec.json.Encoder().encode
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _number(number: int | None) -> int | str:
    return NULL if number is None else number
