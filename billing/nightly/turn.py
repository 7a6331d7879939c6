"""Only one process is at the nights' work: who holds the lock, until it lets go or its connection ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# Of this schema: a rebuild works in one of its own.
LOCK = "hashtext(current_schema() || '.billing_nightly')"


@contextmanager
def alone() -> Iterator[bool]:
    """Whether this process has the nights' work to itself, as long as the block lasts. Waits for nobody.

    The lock is the session's, because steps commit as they go; it falls with the connection, so a killed process
    holds nobody up.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({LOCK})")
        got: bool = cursor.fetchone()[0]
    try:
        yield got
    finally:
        if got:
            _let_go()


def _let_go() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_unlock({LOCK})")
    except BaseException:
        # A pool would keep the session, and the lock with it: nobody could go on with the nights.
        if connection.connection:
            connection.connection.close()
        raise
