"""Blocking work with PostgreSQL, off the event loop and a few at a time."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import connections

from hotstate.errors import Unreachable

T = TypeVar("T")

# Of these, look-ups of secrets that nobody may have take two at most, and those of gateways' credentials two more
# (`strangers.py`): two are left for what is known.
_threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="database")


async def in_thread(work: Callable[[], T]) -> T:
    """Run in one of a few threads; its connection goes back to the pool."""

    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_threads, run)


@contextmanager
def needing_postgres() -> Iterator[None]:
    """For what can't be answered without it: its failures are raised as Unreachable."""
    try:
        yield
    except DatabaseError as error:
        raise Unreachable("PostgreSQL: " + str(error)) from error
