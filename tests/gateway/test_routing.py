"""A model with several routes: who is tried, in which order, and what becomes of one that fails."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.models import Model, Route, Upstream
from gateway.http.request_ids import new_request_id
from gateway.offering.offer import OfferedRoute
from gateway.upstreams.routing import Circuit, order
from tests.gateway import scripted
from tests.gateway.conftest import MODEL, RunningGateway, announce
from tests.gateway.scripted import ANSWER, DONE, HEAD, Step, chunk, whole

GOOD = whole(ANSWER)
BROKEN = whole(b'{"error": {"message": "no"}}', status="500 No")
Adds = Callable[..., Route]


@pytest.fixture
def route(gateway: RunningGateway) -> Iterator[Adds]:
    """`route(name, *script, priority=…, …)`: another upstream with a route; the demo one is off."""
    Route.objects.update(enabled=False)
    made: list[Upstream] = []
    with ExitStack() as stack:

        def add(name: str, *script: Step, priority: int = 10, weight: int = 1, **fields: Any) -> Route:
            base_url = stack.enter_context(scripted.upstream(script)) if script else "http://127.0.0.1:9/v1"
            made.append(Upstream.objects.create(name=name, base_url=base_url, **fields))
            model = Model.objects.get(public_id=MODEL)
            added = Route.objects.create(
                model=model, upstream=made[-1], upstream_model=name, priority=priority, weight=weight
            )
            announce()
            return added

        yield add
    Route.objects.filter(upstream__in=made).delete()
    for upstream in made:
        upstream.delete()
    Route.objects.update(enabled=True)
    announce()


def offered(*specs: tuple[int, int]) -> tuple[OfferedRoute, ...]:
    """Routes of (priority, weight), as a gateway reads them."""
    return tuple(
        OfferedRoute(number, "", "", "", priority=priority, weight=weight)
        for number, (priority, weight) in enumerate(sorted(specs))
    )


def tried(gateway: RunningGateway, count: int = 1) -> list[int]:
    """How many routes each of so many requests tried."""
    return [line.get("attempts", 1) for line in gateway.lines(count)]


class TestOrder:
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1000)), min_size=1, max_size=8), st.uuids())
    def test_every_route_once_the_lowest_priority_number_first(self, specs: Any, request_id: Any) -> None:
        routes = offered(*specs)
        found = order(routes, request_id)
        assert sorted(found, key=lambda one: one.pk) == list(routes)
        assert [one.priority for one in found] == sorted(one.priority for one in found)
        assert order(routes, request_id) == found

    def test_weights_are_shares(self) -> None:
        routes = offered((1, 1), (1, 3), (2, 1000))
        firsts = Counter(order(routes, new_request_id())[0].weight for _ in range(4_000))
        assert set(firsts) == {1, 3}
        # Seven standard deviations.
        assert abs(firsts[3] - 3_000) < 200


class TestFailover:
    def test_the_next_route_answers_where_the_first_fails_before_its_first_byte(
        self, gateway: RunningGateway, route: Adds
    ) -> None:
        route("down", priority=1)
        route("broken", BROKEN, priority=2)
        good = route("good", GOOD, priority=3)
        assert gateway.chat().status == 200
        (line,) = gateway.lines()
        assert (line["outcome"], line.get("attempts", 1), line["route"]) == ("completed", 3, str(good.pk))
        assert line["usage"] == {"requests": 1, "input_tokens": 5, "output_tokens": 2}
        assert gateway.held_nanos() == line["charge_nanos"]

    def test_sub2api_2332_a_stream_that_took_two_attempts_is_one_request(
        self, gateway: RunningGateway, route: Adds
    ) -> None:
        route("broken", BROKEN, priority=1)
        good = route("good", HEAD, chunk("hello", finish="stop"), chunk(usage=(5, 2)), DONE, priority=2)
        assert b"hello" in gateway.chat(stream=True).body
        (line,) = gateway.lines()
        assert (line["outcome"], line["attempts"], line["route"]) == ("completed", 2, str(good.pk))
        assert line["usage"] == {"requests": 1, "input_tokens": 5, "output_tokens": 2}
        assert gateway.held_nanos() == line["charge_nanos"]

    def test_a_stream_that_has_begun_goes_nowhere_else(self, gateway: RunningGateway, route: Adds) -> None:
        route("cut", HEAD, chunk("hello"), priority=1)
        route("good", HEAD, chunk("other", finish="stop"), DONE, priority=2)
        answer = gateway.chat(stream=True)
        assert b"hello" in answer.body
        assert b"other" not in answer.body
        assert tried(gateway)[0] == 1

    def test_what_is_wrong_with_the_request_is_told_at_once(self, gateway: RunningGateway, route: Adds) -> None:
        route("strict", whole(b'{"error": {"message": "Bad"}}', status="400 Bad"), priority=1)
        route("good", GOOD, priority=2)
        assert gateway.chat().error[0] == 400
        assert (gateway.lines()[0]["outcome"], tried(gateway)[0]) == ("refused", 1)

    def test_no_more_than_so_many_are_tried_and_the_last_failure_is_told(
        self, gateway: RunningGateway, route: Adds
    ) -> None:
        for number in range(3):
            route(f"broken{number}", BROKEN, priority=number)
        route("good", GOOD, priority=9)
        assert gateway.chat().error == (502, "server_error", "bad_gateway")
        assert tried(gateway)[0] == 3
        assert gateway.held_nanos() == 0

    @pytest.mark.parametrize(
        ("last", "known_as"),
        [
            ([whole(b"{}", status="500 No", headers=b"X-Request-Id: second\r\n")], "second"),
            ([whole(b"{}", status="400 Bad", headers=b"X-Request-Id: second\r\n")], "second"),
            ([GOOD], ""),
            ([], ""),
        ],
    )
    def test_the_line_has_the_last_attempts_id_and_no_others(
        self, gateway: RunningGateway, route: Adds, last: list[Step], known_as: str
    ) -> None:
        route("first", whole(b"{}", status="500 No", headers=b"X-Request-Id: first\r\n"), priority=1)
        second = route("second", *last, priority=2)
        gateway.chat()
        (line,) = gateway.lines()
        assert (line["route"], line.get("upstream_request_id", "")) == (str(second.pk), known_as)

    def test_a_silent_upstream_has_a_patience_of_its_own(self, gateway: RunningGateway, route: Adds) -> None:
        never = threading.Event()
        route("silent", never, priority=1, idle_seconds=1)
        route("good", GOOD, priority=2)
        assert gateway.chat().status == 200
        assert tried(gateway)[0] == 2
        never.set()

    def test_an_upstream_that_is_full_is_passed_by(self, gateway: RunningGateway, route: Adds) -> None:
        release = threading.Event()
        small = route("small", release, GOOD, priority=1, most_at_once=1)
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(gateway.chat().status))
        first.start()
        routing = gateway.application.gateway.routing
        while not any(routing._running.values()):
            pass
        # Nowhere else to go: busy, for which nothing is charged.
        assert gateway.chat().error == (503, "server_error", "model_overloaded")
        other = route("other", GOOD, priority=2)
        assert gateway.chat().status == 200
        release.set()
        first.join(20)
        assert answers == [200]
        assert [line["route"] for line in gateway.lines(3)][1:] == [str(other.pk), str(small.pk)]
        assert not any(routing._running.values())


class TestCircuit:
    @pytest.fixture
    def clock(self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        routing, now = gateway.application.gateway.routing, [1000.0]
        monkeypatch.setattr(routing, "_clock", lambda: now[0])
        return now

    def circuit(self, gateway: RunningGateway, of: Route) -> Circuit | None:
        circuits = gateway.application.gateway.routing._circuits
        return next((circuit for route, circuit in circuits.items() if route.pk == of.pk), None)

    def test_a_route_that_keeps_failing_is_left_alone_then_tried_once(
        self, gateway: RunningGateway, route: Adds, clock: list[float]
    ) -> None:
        bad = route("bad", BROKEN, priority=1)
        route("good", GOOD, priority=2)
        for _ in range(5):
            assert gateway.chat().status == 200
        assert tried(gateway, 5) == [2] * 5
        assert gateway.chat().status == 200
        assert tried(gateway, 6)[-1] == 1
        clock[0] += 5
        assert gateway.chat().status == 200
        assert tried(gateway, 7)[-1] == 2
        # It failed again: it is left alone for longer.
        clock[0] += 5
        assert gateway.chat().status == 200
        assert tried(gateway, 8)[-1] == 1
        found = self.circuit(gateway, bad)
        assert found
        assert (found.failures, found.pause_seconds) == (6, 20)

    def test_one_that_answers_again_is_as_good_as_new(self, gateway: RunningGateway, clock: list[float]) -> None:
        for _ in range(5):
            assert gateway.chat("!status=500").error[0] == 502
        assert gateway.chat().error == (503, "server_error", "model_unavailable")
        assert tried(gateway, 6)[-1] == 0
        clock[0] += 5
        assert [gateway.chat().status for _ in range(3)] == [200] * 3
        assert not gateway.application.gateway.routing._circuits

    def test_one_that_was_changed_is_tried_at_once(self, gateway: RunningGateway, route: Adds) -> None:
        bad = route("bad", BROKEN)
        for _ in range(5):
            assert gateway.chat().error[0] == 502
        with scripted.upstream([GOOD]) as mended:
            Upstream.objects.filter(pk=bad.upstream_id).update(base_url=mended)
            announce()
            assert gateway.chat().status == 200

    def test_a_request_that_is_wrong_says_nothing_of_the_route(self, gateway: RunningGateway, route: Adds) -> None:
        strict = route("strict", whole(b'{"error": {"message": "Bad"}}', status="400 Bad"))
        for _ in range(7):
            assert gateway.chat().error[0] == 400
        assert self.circuit(gateway, strict) is None

    def test_a_busy_one_isnt_broken(self, gateway: RunningGateway, route: Adds) -> None:
        busy = route("busy", whole(json.dumps({"error": {}}).encode(), status="429 Later"))
        for _ in range(7):
            assert gateway.chat().error[2] == "model_overloaded"
        assert self.circuit(gateway, busy) is None
