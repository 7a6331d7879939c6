"""The cache, without which everything goes on: what Valkey doesn't answer is a miss, what it doesn't take is dropped.

Only limits on attempts are kept in it (allauth's), so these fail open while Valkey is away.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import redis
import structlog
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.retry import Retry

T = TypeVar("T")

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 1
PAUSE_SECONDS = 5
"""After a failure nothing is asked for so long: a page asks several times, and must not wait for each."""


class ForgivingClient(RedisCacheClient):
    """Asks once, for a second at most. An `add` that isn't taken counts as done: locks and limits let pass."""

    away_until: ClassVar[float] = 0.0

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return self._ask(lambda: super(ForgivingClient, self).add(key, value, timeout), otherwise=True)

    def get(self, key: Any, default: Any) -> Any:
        return self._ask(lambda: super(ForgivingClient, self).get(key, default), otherwise=default)

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        self._ask(lambda: super(ForgivingClient, self).set(key, value, timeout), otherwise=None)

    def touch(self, key: Any, timeout: Any) -> bool:
        return self._ask(lambda: super(ForgivingClient, self).touch(key, timeout), otherwise=False)

    def delete(self, key: Any) -> bool:
        return self._ask(lambda: super(ForgivingClient, self).delete(key), otherwise=False)

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        return self._ask(lambda: super(ForgivingClient, self).get_many(keys), otherwise={})

    def has_key(self, key: Any) -> bool:
        return self._ask(lambda: super(ForgivingClient, self).has_key(key), otherwise=False)

    def incr(self, key: Any, delta: int) -> int:
        found = self._ask(lambda: super(ForgivingClient, self).incr(key, delta), otherwise=None)
        if found is None:
            raise ValueError(f"Key {key!r} not found.")
        return int(found)

    def set_many(self, data: Mapping[Any, Any], timeout: Any) -> None:
        self._ask(lambda: super(ForgivingClient, self).set_many(data, timeout), otherwise=None)

    def delete_many(self, keys: Iterable[Any]) -> None:
        self._ask(lambda: super(ForgivingClient, self).delete_many(keys), otherwise=None)

    def clear(self) -> bool:
        return self._ask(lambda: super(ForgivingClient, self).clear(), otherwise=False)

    def _ask(self, asking: Callable[[], T], *, otherwise: T) -> T:
        if time.monotonic() < ForgivingClient.away_until:
            return otherwise
        try:
            return asking()
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
            ForgivingClient.away_until = time.monotonic() + PAUSE_SECONDS
            log.warning("cache unreachable: limits on attempts don't count", error=str(error), seconds=PAUSE_SECONDS)
            return otherwise


class ForgivingCache(RedisCache):
    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = ForgivingClient
        self._options = {
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            **params.get("OPTIONS", {}),
        }
