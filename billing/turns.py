"""Turns: moments that no posting straddles, such as the closing of a day.

Postings hold one lock together, a turn holds it alone. So those before a turn have committed what they posted, and
those after it see what it changed, if they read that after `follow`. One sequence numbers postings and turns, each
while it holds the lock: `rebuild` knows by it what a posting saw, whatever the clocks said.
"""

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

# Of this schema: a rebuild, which posts in a schema of its own, holds nobody up.
LOCK = "hashtext(current_schema() || '.billing_turn')"


# Postings that come while a turn waits for those at work wait behind it, so it gives up sooner than that hurts.
PATIENCE_MS = 10_000


class Busy(Exception):
    """A posting takes long, of a large segment perhaps; try the turn again later."""


def follow() -> None:
    """Let no turn happen until the caller's transaction, a posting, has ended. Waits for one that is happening."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock_shared({LOCK})")


def take() -> int:
    """Wait for the postings at work and keep others out until the caller's transaction has ended; return its number.

    Keep that transaction short: usage waits for it. Raises Busy after PATIENCE_MS, or what the caller's own
    `lock_timeout` raises.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        own = cursor.fetchone()[0]
        if own == "0":
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE_MS}ms"])
        try:
            cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        except OperationalError as error:
            if own != "0" or not isinstance(error.__cause__, LockNotAvailable):
                raise
            raise Busy("Usage is being posted that takes long, of a large segment perhaps. Try again later.") from error
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [own])
    return number()


def number() -> int:
    """The next number; of a posting, once it has locked all that it changes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('billing_turn')")
        found: int = cursor.fetchone()[0]
    return found
