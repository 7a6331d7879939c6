"""Whose it is what upstreams store, and which route made it: noted from usage lines, looked up, forgotten in time."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from billing.known import Key
from billing.lines import UsageLine
from billing.models import StoredAnswer
from hotstate.stored import Stored

# Sources of Keymeter's own gateways: nobody else's lines say whose an upstream's answers are.
OWN_GATEWAYS = "gw-"
AT_ONCE = 1_000
BATCH = 10_000

Row = tuple[int, str, str, str, int, datetime]


def row_of(line: UsageLine, key: Key, at: datetime) -> Row | None:
    """What a line says is stored; None where it says nothing, or isn't to be believed."""
    if not line.stored or not line.source.startswith(OWN_GATEWAYS) or not line.route.isdecimal():
        return None
    return (key.organization_id, line.endpoint, line.stored, line.model, int(line.route), at)


def note(rows: Iterable[Row]) -> None:
    """Keep these, in the caller's transaction. An id that an upstream gives again is the newer answer's."""
    newest = {row[:3]: row for row in sorted(rows, key=lambda row: row[5])}
    # Sorted, so that workers lock rows in the same order.
    left = [newest[place] for place in sorted(newest)]
    for start in range(0, len(left), AT_ONCE):
        _upsert(left[start : start + AT_ONCE])


UPSERT = """
INSERT INTO billing_storedanswer AS known (organization_id, kind, upstream_id, model, route, made_at)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (organization_id, kind, upstream_id)
DO UPDATE SET model = excluded.model, route = excluded.route, made_at = excluded.made_at
WHERE known.made_at < excluded.made_at
"""


def _upsert(rows: list[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, [list(column) for column in zip(*rows, strict=True)])


def find(organization: str, kind: str, upstream_id: str) -> Stored | None:
    """Who made what an organization (a public id) has stored; None where nothing is known of it."""
    found = StoredAnswer.objects.filter(organization__public_id=organization, kind=kind, upstream_id=upstream_id)
    row = found.values_list("model", "route").first()
    return Stored(*row) if row else None


FORGET = """
DELETE FROM billing_storedanswer WHERE id IN (
    SELECT id FROM billing_storedanswer WHERE made_at < %s ORDER BY made_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def forget_before(moment: datetime) -> int:
    """Forget what was made before that, and return how much: a transaction per batch, where the caller has none."""
    deleted = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(FORGET, [moment, BATCH])
            gone = int(cursor.rowcount)
            deleted += gone
            if gone < BATCH:
                return deleted
