"""Several at the same moment, or one while another holds a lock; each with a database connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection

from tests.waiting import wait_until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def at_once(*works: Callable[[], object]) -> list[Exception]:
    """Do all of them at once; what failed."""
    together = threading.Barrier(len(works))
    failures: list[Exception] = []

    def go(work: Callable[[], object]) -> None:
        together.wait(10)
        try:
            work()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return failures


class Meanwhile:
    """Work of somebody else, which has to wait for a lock of ours, and then ends well."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.failure: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._go)
        self._thread.start()
        wait_until(_somebody_waits, "somebody to wait for a lock")

    def _go(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.failure = error
        finally:
            connection.close()

    def ends(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.failure:
            raise self.failure


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])
