"""The blocking client, for the web server and the workers. The gateway's is in `fast.py`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from django.conf import settings

from hotstate.errors import Unreachable


@cache
def valkey() -> redis.Redis:
    """The process's connection pool. An answer that takes over two seconds counts as none."""
    return redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=2, socket_connect_timeout=2)


@contextmanager
def reaching_valkey() -> Iterator[redis.Redis]:
    """Give the client; raise Unreachable where it can't be reached, is loading or refuses writes."""
    try:
        yield valkey()
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
        raise Unreachable(str(error)) from error
