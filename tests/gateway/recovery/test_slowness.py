"""Valkey answers late, within a gateway's patience and beyond it, and is quick again: nobody is served wrongly."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.keys import revoke_key
from billing.models import Balance
from gateway.faces.credentials import create_credential
from hotstate import holds, names, scripts
from hotstate.client import valkey
from hotstate.models import LapsedHold
from tests.cast import DOLLAR, give_credit, make_key, make_organization, request_id
from tests.gateway.recovery.losing import HOLD, UNAVAILABLE, Fleet
from tests.gateway.recovery.slowness import SlowWay, gateways_by
from tests.gateway.serving import Answer, RunningGateway
from tests.gateway.test_limits import change_key
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# A request holds a little more than its answer costs, so however holds and charges mix, so many pass and no more.
ENOUGH, WORDS = 10, 1000
ENOUGH_NANOS = ENOUGH * (HOLD + 600_000)
NO_MONEY = (429, "insufficient_quota", "credit_balance_exhausted")
TOO_MANY = (429, "requests", "rate_limit_exceeded")
NO_KEY = (401, "invalid_request_error", "invalid_api_key")
ALLOWED = (200, "", None)
Said = tuple[int, str, str | None]


@dataclass
class Customer:
    """An organization with a key, who asks through every gateway all the time; when, and what was said."""

    gateways: list[RunningGateway]
    content: str
    max_tokens: int
    nanos: int
    answers: list[tuple[float, Said]] = field(default_factory=list)

    def ask(self, gateway: RunningGateway, stopping: threading.Event) -> None:
        while not stopping.wait(0.05):
            self.ask_once(gateway)

    def ask_once(self, gateway: RunningGateway) -> Said:
        sent = time.monotonic()
        answer = gateway.chat(self.content, max_tokens=self.max_tokens)
        said = ALLOWED if answer.status == 200 else answer.error
        self.answers.append((sent, said))
        assert answer.status != 503 or answer.headers["retry-after"] == "1"
        return said

    def was_told(self, what: Said, *, since: float = 0.0) -> int:
        """How often that was said to what was asked since then."""
        return sum(said == what for sent, said in list(self.answers) if sent >= since)

    def lines(self, fleet: Fleet) -> list[dict[str, Any]]:
        key = self.gateways[0].key
        assert key
        return [line for line in fleet.lines().values() if line["key"] == key.public_id]


@pytest.fixture
def way(fleet: Fleet) -> Iterator[SlowWay]:
    with SlowWay(fleet.valkey.server.url()) as way:
        yield way


def customer(gateways: list[RunningGateway], nanos: int, content: str, max_tokens: int, **limits: int) -> Customer:
    """One that has so much, and whom every gateway has served already: what goes before decisions is then done."""
    organization = make_organization("Thrifty")
    give_credit(organization, nanos)
    key, secret = make_key(organization)
    key = change_key(key, **limits)
    asked = [replace(gateway, organization=organization, key=key, secret=secret) for gateway in gateways]
    one = Customer(asked, content, max_tokens, nanos)
    for gateway in asked:
        wait_until(lambda gateway=gateway: one.ask_once(gateway) == ALLOWED, "the key to be known")
    return one


@pytest.mark.timeout(400)
def test_late_answers_let_nobody_have_more_and_lose_no_charge(fleet: Fleet, way: SlowWay) -> None:
    """Within a gateway's patience, beyond it, and both by turns."""
    had: list[Customer] = []
    with gateways_by(way, fleet) as gateways:
        for delays in ((0.5,), (1.5,), (0.0, 0.5, 1.5)):
            way.take(0.0)
            rich = customer(gateways, DOLLAR, "hello", 10)
            thrifty = customer(gateways, ENOUGH_NANOS, f"!words={WORDS}", WORDS)
            limited = customer(gateways, DOLLAR, "hello", 10, requests_per_day=ENOUGH)
            slow_and_quick_again(fleet, way, delays, rich, thrifty, limited)
            assert (thrifty.was_told(ALLOWED), limited.was_told(ALLOWED) <= ENOUGH) == (ENOUGH, True)
            assert {said for _, said in thrifty.answers} <= {ALLOWED, UNAVAILABLE, NO_MONEY}
            assert {said for _, said in limited.answers} <= {ALLOWED, UNAVAILABLE, TOO_MANY}
            assert {said for _, said in rich.answers} <= {ALLOWED, UNAVAILABLE, NO_KEY}
            had += [rich, thrifty, limited]
        for one in had:
            wait_until(lambda one=one: nothing_is_left(one, fleet), "what nobody was told of to be released")
    fleet.post()
    for one in had:
        lines, gateway = one.lines(fleet), one.gateways[0]
        assert [line["outcome"] for line in lines] == ["completed"] * one.was_told(ALLOWED)
        charged = sum(line["charge_nanos"] for line in lines)
        assert Balance.objects.get(organization=gateway.organization).nanos == one.nanos - charged >= 0
        assert (gateway.open_holds(), gateway.held_nanos()) == (0, 0)


def nothing_is_left(one: Customer, fleet: Fleet) -> bool:
    """Whether nothing is held but what was charged, or couldn't be settled and goes with its line's posting."""
    gateway = one.gateways[0]
    assert gateway.organization
    holds = {request_id.decode() for request_id in valkey().hkeys(names.holds_of(gateway.organization.public_id))}
    return holds <= {line["id"] for line in one.lines(fleet)}


def slow_and_quick_again(
    fleet: Fleet, way: SlowWay, delays: tuple[float, ...], rich: Customer, thrifty: Customer, limited: Customer
) -> None:
    """All ask all the time. While it is slow the rich one's key is revoked; then the others use up what they may."""
    everybody, stopping = (rich, thrifty, limited), threading.Event()
    asking = [(one, gateway) for one in everybody for gateway in one.gateways for _ in range(4)]
    way.take_from(scripts.DECIDE, *delays)
    slow = time.monotonic()
    load = [fleet.threads.submit(one.ask, gateway, stopping) for one, gateway in asking]
    try:
        soon = {"within": 60, "every": 0.05}
        wait_until(lambda: min(len(one.answers) for one in everybody) > 3 * ENOUGH, "answers", **soon)
        key = rich.gateways[0].key
        assert key
        revoke_key(key, actor=None, now=timezone.now())
        revoked = time.monotonic()
        if min(delays) > 1:
            # What Valkey allowed was not heard of in time.
            assert [one.was_told(ALLOWED, since=slow) for one in everybody] == [0, 0, 0]
            assert sum(one.gateways[0].open_holds() for one in everybody) > 0
        way.take(0.0)
        wait_until(lambda: thrifty.was_told(ALLOWED) >= ENOUGH, lambda: f"the tenth {thrifty.answers[-5:]}", **soon)
        tenth = time.monotonic()
        for one, end in ((thrifty, NO_MONEY), (limited, TOO_MANY), (rich, NO_KEY)):
            wait_until(lambda one=one, end=end: one.was_told(end, since=tenth), f"{end}", **soon)
    finally:
        stopping.set()
        for future in load:
            future.result(60)
    assert rich.was_told(ALLOWED, since=revoked) == 0


def test_a_stream_that_hears_late_of_its_growth_has_grown_once(fleet: Fleet, way: SlowWay) -> None:
    """Else money that is there for one step would not be enough, and the answer would be broken off."""
    with gateways_by(way, fleet, 1) as gateways:
        # 4,096 tokens at most, of which it holds a quarter at first; half a quarter is left over.
        one = customer(gateways, (4096 + 512) * 15_000 + 600_000, "hello", 10)
        (gateway,) = one.gateways
        wait_until(lambda: not gateway.open_holds(), "the first request to be settled")
        told = [{"role": "user", "content": "!words=700 !delay=0.005"}]
        way.take_from(scripts.GROW, 1.5)
        stream = gateway.openai().chat.completions.create(model="demo-chat", messages=told, stream=True)
        wait_until(lambda: way.late, "a growth that nobody hears of in time")
        way.take(0.0)
        got = list(stream)
        assert way.runs > 1
        assert got[-1].choices[0].finish_reason == "stop"
        wait_until(lambda: not gateway.open_holds(), "the stream to be settled")
        lines = one.lines(fleet)
        assert [(line["outcome"], line["usage"]["output_tokens"]) for line in lines][1:] == [("completed", 700)]
        assert gateway.held_nanos() == sum(line["charge_nanos"] for line in lines)


def test_a_hold_whose_id_a_gateway_brought_is_kept_for_its_asking_again_until_it_lapses(
    fleet: Fleet, way: SlowWay
) -> None:
    """With that id the same answer may be had again. What Keymeter named itself nobody can ask for: it goes at once."""
    _, credential = create_credential("their gateway", sources=["theirs"], now=timezone.now())
    with gateways_by(way, fleet, 1) as gateways:
        (gateway,) = customer(gateways, DOLLAR, "hello", 10).gateways
        wait_until(lambda: not gateway.open_holds(), "the first request to be settled")
        asked = {"key": gateway.secret, "endpoint": "chat.completions", "model": "demo-chat", "input_tokens": 10}

        def verify(**changed: Any) -> Answer:
            shown = {"X-Gateway-Credential": credential}
            return gateway.post("/v1/keys/verify", {**asked, **changed}, secret="", headers=shown)

        assert verify(endpoint="models", input_tokens=None, model=None).json["valid"]
        brought = str(request_id(datetime.now(UTC)))
        way.take_from(scripts.DECIDE, 1.5)
        both = [fleet.threads.submit(verify, **named) for named in ({"request_id": brought}, {})]
        wait_until(lambda: gateway.open_holds() == 2, "two holds that nobody hears of in time")
        assert [future.result().error for future in both] == [UNAVAILABLE] * 2
        way.take(0.0)
        wait_until(lambda: gateway.open_holds() == 1, "what nobody can ask for to be released")
    assert gateway.organization
    assert holds.find(gateway.organization.public_id, brought)
    assert [holds.sweep_lapsed(timezone.now() + timedelta(minutes=10 * turn)) for turn in range(3)] == [0, 1, 0]
    assert LapsedHold.objects.open().get().request_id == brought
    assert gateway.held_nanos() == sum(line["charge_nanos"] for line in fleet.lines().values())
