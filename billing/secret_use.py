"""Which secrets of a key are in use, and since when no more: counted when usage is posted, not by request."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Max, Q, Sum

from accounts.models import ApiKey
from billing.models import SecretUse
from billing.rollups import NULL

RECENT = timedelta(hours=24)

CREATE_STAGING = (
    "CREATE TEMP TABLE IF NOT EXISTS secret_use_staging"
    " (key bigint, secret bigint, hour bigint, events bigint, ms bigint) ON COMMIT DELETE ROWS"
)
ADD = """
INSERT INTO billing_secretuse AS use (api_key_id, secret_id, hour, events, last_at)
SELECT key, secret, 'epoch'::timestamptz + hour * interval '1 hour', events, 'epoch'::timestamptz + ms * interval '1 ms'
FROM secret_use_staging
ON CONFLICT (api_key_id, hour, secret_id)
DO UPDATE SET events = use.events + excluded.events, last_at = greatest(use.last_at, excluded.last_at)
"""

# API key pk, secret pk or 0, hour since 1970 → requests, Unix milliseconds of the last.
Counts = dict[tuple[int, int, int], list[int]]


def add(counts: Counts) -> None:
    """Count events that were never counted before, in the caller's transaction."""
    if not counts:
        return
    # Sorted, so that workers lock rows in the same order.
    rows = (
        f"{key}\t{secret or NULL}\t{hour}\t{events}\t{ms}\n"
        for (key, secret, hour), (events, ms) in sorted(counts.items())
    )
    with connection.cursor() as cursor:
        cursor.execute(CREATE_STAGING)
        cursor.execute("TRUNCATE secret_use_staging")
        with cursor.copy("COPY secret_use_staging FROM STDIN") as copy:
            copy.write("".join(rows))
        cursor.execute(ADD)


@dataclass(frozen=True)
class Use:
    """How many requests of the last 24 hours had this secret, and when the last of all was."""

    requests: int
    last_at: datetime


def of_key(key: ApiKey, now: datetime) -> dict[int | None, Use]:
    """By the secret's pk; None for requests of which nobody said with which."""
    recent = Q(hour__gt=now - RECENT)
    found = SecretUse.objects.filter(api_key=key).values_list("secret_id")
    sums = found.annotate(requests=Sum("events", filter=recent, default=0), last=Max("last_at")).order_by()
    return {secret: Use(requests, last_at) for secret, requests, last_at in sums}


LAST_USED = """
SELECT key.id, newest.last_at FROM unnest(%s::bigint[]) AS key (id)
CROSS JOIN LATERAL (
    SELECT last_at FROM billing_secretuse WHERE api_key_id = key.id ORDER BY hour DESC, last_at DESC LIMIT 1
) AS newest
"""


def last_used(key_ids: Iterable[int]) -> dict[int, datetime]:
    """API key pk → its last request; keys that were never used aren't there."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_USED, [list(key_ids)])
        return dict(cursor.fetchall())


# By id, so that a long table is gone through once; what is being counted at this moment is left for the next time.
FORGET = """
DELETE FROM billing_secretuse WHERE id IN (
    SELECT id FROM billing_secretuse AS use
    WHERE id > %s AND hour < %s AND EXISTS (
        SELECT FROM billing_secretuse AS newer
        WHERE newer.api_key_id = use.api_key_id AND newer.secret_id IS NOT DISTINCT FROM use.secret_id
            AND newer.hour > use.hour
    )
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id
"""
BATCH = 10_000


def forget_before(moment: datetime) -> int:
    """Delete the counts of hours before that, and return how many; each secret's newest stays, for its last use.

    A transaction per batch, where the caller has none.
    """
    deleted, after = 0, 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(FORGET, [after, moment, BATCH])
            gone = [pk for (pk,) in cursor.fetchall()]
            deleted += len(gone)
            if len(gone) < BATCH:
                return deleted
            after = max(gone)
