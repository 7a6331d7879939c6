"""Several at the same moment, each with a database connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection


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
