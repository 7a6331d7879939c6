"""Which routes of a model, or of several, are tried, in which order, until one answers.

The lowest priority number first; routes of the same priority share by weight. A route that has failed several times in
a row is left alone for a while, then tried with one request. Once an answer has begun nothing else is tried.
"""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

import aiohttp

from gateway import errors, metrics
from gateway.offering.offer import OfferedModel, OfferedRoute
from gateway.upstreams.latency import Latencies
from gateway.upstreams.upstream import UpstreamError, Upstreams

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0


@dataclass(slots=True)
class Circuit:
    """How a route went lately. It is open until `open_until`, then a single request may try."""

    failures: int = 0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    open_until: float = 0.0
    probing: bool = False


class Routing:
    """Of one gateway process: others find out by themselves."""

    def __init__(
        self,
        upstreams: Upstreams,
        *,
        attempts: int,
        failures: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams = upstreams
        self._attempts = attempts
        self._most_failures = failures
        self._clock = clock
        # By all that is known of a route: a changed one is tried anew.
        self._circuits: dict[OfferedRoute, Circuit] = {}
        self._running: Counter[int] = Counter()
        self.latencies = Latencies(clock=clock)

    @asynccontextmanager
    async def ask(
        self,
        models: Sequence[tuple[OfferedModel, Hashable]],
        path: str,
        body: Callable[[OfferedRoute], bytes | aiohttp.FormData],
        *,
        request_id: UUID,
        trying: Callable[[OfferedModel, OfferedRoute], None],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post and give the answer of the first route that has one, of the first model that has such. `trying` hears of
        each; what stands beside a model is what its latency is measured by. Raises UpstreamError."""
        failure: UpstreamError | None = None
        for model, kind, route in self._in_turn(models, request_id):
            trying(model, route)
            begun, began = False, self._clock()
            try:
                with self._taken(route):
                    asked = self._upstreams.ask(route, path, body(route), request_id=str(request_id))
                    async with asked as response:
                        begun = True
                        self.latencies.note(kind, self._clock() - began)
                        yield response
                    self._answered(route)
                    return
            except UpstreamError as error:
                self._failed(route, error)
                if begun or not error.is_its_failure:
                    raise
                self.latencies.note_failure(kind)
                failure = error
        raise failure or self._nowhere([model for model, _ in models])

    def forget(self) -> None:
        """Think well of every route again."""
        self._circuits.clear()
        self.latencies.forget()

    def _in_turn(
        self, models: Sequence[tuple[OfferedModel, Hashable]], request_id: UUID
    ) -> Iterator[tuple[OfferedModel, Hashable, OfferedRoute]]:
        """Routes that are free when their turn comes, of each model so many at most."""
        for model, kind in models:
            left = self._attempts
            for route in order(model.routes, request_id):
                if left and self._is_free(route):
                    left -= 1
                    yield model, kind, route

    def _is_free(self, route: OfferedRoute) -> bool:
        return self._is_closed(route) and not self._is_full(route)

    def _is_closed(self, route: OfferedRoute) -> bool:
        circuit = self._circuits.get(route)
        if circuit is None or circuit.failures < self._most_failures:
            return True
        return not circuit.probing and circuit.open_until <= self._clock()

    def _is_full(self, route: OfferedRoute) -> bool:
        return route.most_at_once is not None and self._running[route.upstream] >= route.most_at_once

    @contextmanager
    def _taken(self, route: OfferedRoute) -> Iterator[None]:
        circuit = self._circuits.get(route)
        is_probe = circuit is not None and circuit.failures >= self._most_failures
        if circuit and is_probe:
            circuit.probing = True
        self._running[route.upstream] += 1
        try:
            yield
        finally:
            self._running[route.upstream] -= 1
            if circuit and is_probe:
                circuit.probing = False

    def _answered(self, route: OfferedRoute) -> None:
        metrics.attempts.labels("answered").inc()
        self._circuits.pop(route, None)

    def _failed(self, route: OfferedRoute, error: UpstreamError) -> None:
        metrics.attempts.labels(error.outcome).inc()
        if not error.is_its_failure or error.is_busy:
            return
        circuit = self._circuits.setdefault(route, Circuit())
        circuit.failures += 1
        if circuit.failures >= self._most_failures:
            circuit.open_until = self._clock() + circuit.pause_seconds
            circuit.pause_seconds = min(2 * circuit.pause_seconds, LONGEST_PAUSE_SECONDS)

    def _nowhere(self, models: Sequence[OfferedModel]) -> UpstreamError:
        """No route could be tried at all."""
        is_busy = any(self._is_closed(route) for model in models for route in model.routes)
        return UpstreamError(errors.UPSTREAM_BUSY if is_busy else errors.UPSTREAM_DOWN, "upstream_error")


def order(routes: tuple[OfferedRoute, ...], request_id: UUID) -> list[OfferedRoute]:
    """The order in which a request tries them: the same for the same id."""
    if len(routes) == 1:
        return list(routes)
    # The random bits of the id decide. By Efraimidis and Spirakis: the largest u^(1/weight) comes first.
    chance = random.Random(request_id.int)  # noqa: S311
    found: list[OfferedRoute] = []
    for _, equal in groupby(routes, key=lambda route: route.priority):
        drawn = [(chance.random() ** (1 / route.weight), route) for route in equal]
        found += [route for _, route in sorted(drawn, key=lambda one: -one[0])]
    return found
