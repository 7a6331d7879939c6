"""A thousand requests at once, of one gateway and of several processes: exactly as many pass as there is money for."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from catalog.models import Upstream
from gateway.faces.credentials import create_credential
from hotstate import names
from hotstate.client import valkey
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, request_id
from tests.gateway import scripted
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.fleet import Call, session, until
from tests.gateway.scripted import ANSWER, whole
from tests.gateway.test_limits import change_key

MANY, ENOUGH = 1_000, 10
TEMPLATE = 64
CHARGE = 5 * 3_000 + 2 * 15_000


@pytest.fixture(params=["one gateway", "three processes"])
def addresses(request: pytest.FixtureRequest, gateway: RunningGateway, fleet: list[str]) -> list[str]:
    return fleet if request.param == "three processes" else [f"http://127.0.0.1:{gateway.port}"]


@pytest.fixture
def gated() -> Iterator[tuple[str, Event]]:
    """A model that answers once its event is set."""
    gate = Event()
    with scripted.upstream([gate, whole(ANSWER)]) as url:
        model = make_model(f"gated-{uuid4().hex}")
        model.routes.update(upstream=Upstream.objects.create(name=uuid4().hex, base_url=url))
        announce()
        yield model.public_id, gate
        gate.set()


@pytest.fixture
def credential() -> dict[str, str]:
    return {"X-Gateway-Credential": create_credential(uuid4().hex, sources=["x-*"], now=datetime.now(UTC))[1]}


def poor(nanos: int) -> tuple[Any, str]:
    """A key of an organization that has so much."""
    organization = make_organization("Thrifty")
    give_credit(organization, nanos)
    return make_key(organization)


async def sold(addresses: list[str], secret: str, model: str) -> None:
    """Return once every gateway has the model."""
    question = Call("GET", f"/v1/models/{model}", {"Authorization": f"Bearer {secret}"})
    async with session() as web, asyncio.timeout(60):
        for address in addresses:
            while (await question.send(web, address))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def at_once(calls: list[Call], addresses: list[str], gate: Event | None = None) -> list[tuple[int, Any]]:
    """Send all at once; the gate opens when all that don't pass have been refused."""
    async with session() as web:
        running = [
            asyncio.create_task(call.send(web, addresses[number % len(addresses)])) for number, call in enumerate(calls)
        ]
        if gate:
            await until(lambda: sum(task.done() for task in running) == MANY - ENOUGH, "all the others to be refused")
            gate.set()
        return await asyncio.gather(*running)


def held(organization: str) -> tuple[int, int]:
    """What is held in nano-dollars, and by how many."""
    found, _, holds, *_ = names.decision_keys(organization)
    return int(valkey().hget(found, "held") or 0), valkey().hlen(holds)


def test_ten_of_a_thousand_requests_pass(addresses: list[str], gated: tuple[str, Event]) -> None:
    """new-api 6609, one-api 2440: none deducts what another has. sub2api 3384: a balance above zero isn't enough."""
    model, gate = gated
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1000}
    hold = (len(json.dumps(body)) + TEMPLATE) * 3_000 + 1000 * 15_000
    # A nano-dollar less than what eleven need.
    key, secret = poor(ENOUGH * hold + hold - 1)
    asyncio.run(sold(addresses, secret, model))
    call = Call("POST", "/v1/chat/completions", {"Authorization": f"Bearer {secret}"}, body)
    answers = asyncio.run(at_once([call] * MANY, addresses, gate))
    assert Counter(status for status, _ in answers) == {200: ENOUGH, 429: MANY - ENOUGH}
    assert {told["error"]["code"] for status, told in answers if status == 429} == {"credit_balance_exhausted"}
    assert held(key.organization.public_id) == (ENOUGH * CHARGE, ENOUGH)


def test_ten_of_a_thousand_are_verified(addresses: list[str], credential: dict[str, str]) -> None:
    verify_a_thousand(addresses, credential, "balance")


@pytest.mark.parametrize("bound", ["budget", "concurrency"])
def test_ten_of_a_thousand_are_within_the_keys_limit(
    gateway: RunningGateway, fleet: list[str], credential: dict[str, str], bound: str
) -> None:
    """Bifrost 3547: all processes count together."""
    verify_a_thousand(fleet, credential, bound)


def verify_a_thousand(addresses: list[str], credential: dict[str, str], bound: str) -> None:
    hold = (100 + TEMPLATE) * 3_000 + 100 * 15_000
    key, secret = poor(ENOUGH * hold if bound == "balance" else 5 * DOLLAR)
    if bound == "budget":
        change_key(key, budget_day_nanos=ENOUGH * hold + 1)
    if bound == "concurrency":
        change_key(key, concurrent_requests=ENOUGH)
    question = {"key": secret, "endpoint": "chat.completions", "model": "demo-chat", "input_tokens": 100}
    call = Call("POST", "/v1/keys/verify", credential, {**question, "max_output_tokens": 100})
    asyncio.run(sold(addresses, secret, "demo-chat"))
    answers = asyncio.run(at_once([call] * MANY, addresses))
    verdict = {"balance": "insufficient_balance", "budget": "budget_exhausted", "concurrency": "concurrency_limited"}
    assert Counter(told["code"] for _, told in answers) == {"allowed": ENOUGH, verdict[bound]: MANY - ENOUGH}
    assert held(key.organization.public_id) == (ENOUGH * hold, ENOUGH)


def test_ten_of_a_thousand_are_let_through_by_a_proxy(addresses: list[str], credential: dict[str, str]) -> None:
    estimate = DOLLAR // 100
    key, secret = poor(ENOUGH * estimate)
    call = Call("GET", "/auth/check/v1/chat/completions", {"Authorization": f"Bearer {secret}", **credential})
    answers = asyncio.run(at_once([call] * MANY, addresses))
    assert Counter(status for status, _ in answers) == {200: ENOUGH, 429: MANY - ENOUGH}
    assert held(key.organization.public_id) == (ENOUGH * estimate, ENOUGH)


def test_one_request_asked_about_many_times_holds_once(addresses: list[str], credential: dict[str, str]) -> None:
    key, secret = poor(DOLLAR)
    question = {"key": secret, "endpoint": "chat.completions", "model": "demo-chat", "input_tokens": 100}
    asyncio.run(sold(addresses, secret, "demo-chat"))
    brought = str(request_id(datetime.now(UTC)))
    body = {**question, "max_output_tokens": 100, "request_id": brought}
    answers = asyncio.run(at_once([Call("POST", "/v1/keys/verify", credential, body)] * 200, addresses))
    assert {(told["valid"], told["request_id"]) for _, told in answers} == {(True, brought)}
    assert held(key.organization.public_id) == ((100 + TEMPLATE) * 3_000 + 100 * 15_000, 1)
