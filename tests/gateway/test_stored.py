"""Chat completions that an upstream keeps: each belongs to who asked, and is had from the route that made it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from django.utils import timezone

from billing.posting import post_segment
from catalog.models import Model, Route, Upstream
from gateway.stored.bindings import Bindings
from hotstate import recovery
from hotstate.client import valkey
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment
from tests.gateway import scripted
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.scripted import whole
from tests.gateway.serving import Answer
from tests.gateway.test_limits import limit_key
from tests.waiting import wait_until

NOT_STORED = (404, "invalid_request_error", "not_found")
SAID: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello world"}]


@pytest.fixture
def asked(gateway: RunningGateway, model_server: str) -> Callable[[], list[dict[str, Any]]]:
    """`asked()`: what the demo server received since the test began, as its records."""
    from http.client import HTTPConnection

    def control(method: str) -> Any:
        connection = HTTPConnection(urlsplit(model_server).netloc, timeout=10)
        connection.request(method, "/_control/requests")
        return json.loads(connection.getresponse().read())

    control("DELETE")
    return lambda: control("GET")


def store(gateway: RunningGateway, **fields: Any) -> str:
    return str(gateway.chat(store=True, **fields).json["id"])


def get(gateway: RunningGateway, stored_id: str, *, secret: str | None = None, method: str = "GET") -> Answer:
    return gateway.request(method, f"/v1/chat/completions/{stored_id}", secret=secret)


def stranger() -> str:
    """The secret of another organization's key."""
    other = make_organization("Other")
    give_credit(other, DOLLAR)
    return make_key(other)[1]


def posted(gateway: RunningGateway, settings: Any, tmp_path: Path, **changes: str) -> None:
    """The gateway's lines are in the books."""
    storages = {**settings.STORAGES}
    storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = storages
    lines = [{**line, **changes} for line in gateway.lines()]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    segment = post_segment(make_segment(content, source=lines[0]["source"]).pk, now=timezone.now())
    assert segment
    assert segment.new == len(lines)


def emptied(gateway: RunningGateway) -> None:
    """Valkey has lost everything, and recovers."""
    valkey().flushdb()
    wait_until(lambda: gateway.application.gateway.hotstate.era is None, "the loss to be noticed")
    recovery.recover_if_lost(timezone.now)
    wait_until(lambda: gateway.application.gateway.hotstate.era, "decisions to go on")


class TestWithTheSdk:
    def test_it_is_retrieved_with_its_messages(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        made = client.chat.completions.create(model="demo-chat", messages=SAID, store=True, metadata={"a": "1"})
        found = client.chat.completions.retrieve(made.id)
        assert (found.id, found.model, found.choices) == (made.id, "demo-chat", made.choices)
        assert found.usage == made.usage
        first = client.chat.completions.messages.list(made.id, limit=1)
        assert [message.content for message in first.data] == ["Be brief."]
        assert first.has_more is True
        assert [message.content for message in first] == ["Be brief.", "hello world"]

    def test_it_is_changed_and_deleted(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        made = client.chat.completions.create(model="demo-chat", messages=SAID, store=True)
        assert client.chat.completions.update(made.id, metadata={"b": "2"}).metadata == {"b": "2"}  # type: ignore[attr-defined]
        assert client.chat.completions.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(made.id)

    def test_a_stream_is_kept_too(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        chunks = list(client.chat.completions.create(model="demo-chat", messages=SAID, store=True, stream=True))
        found = client.chat.completions.retrieve(chunks[0].id)
        assert found.choices[0].message.content == "You said: hello world"


def test_reading_costs_nothing_holds_nothing_and_writes_no_line(gateway: RunningGateway) -> None:
    name = store(gateway)
    (line,) = gateway.lines()
    assert get(gateway, name).status == 200
    assert gateway.held_nanos() == line["charge_nanos"]
    assert gateway.written() == 1
    assert line["stored"] == name


def test_reading_takes_of_the_request_limits_and_of_nothing_else(
    gateway: RunningGateway, asked: Callable[[], Any]
) -> None:
    name = store(gateway)
    limits = {"requests_per_minute": 2, "tokens_per_minute": 1}
    limit_key(gateway, **limits, budget_total_nanos=0)
    answers = [get(gateway, name) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert answers[-1].error == (429, "requests", "rate_limit_exceeded")
    assert len(asked()) == 3
    gateway.lines(1)


def test_who_guesses_ids_is_limited_before_anybody_looks_them_up(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_key(gateway, requests_per_minute=1)
    assert get(gateway, "chatcmpl-a").error == NOT_STORED
    monkeypatch.setattr(Bindings, "find", lambda *_: 1 / 0)
    assert get(gateway, "chatcmpl-b").error == (429, "requests", "rate_limit_exceeded")


def test_what_was_not_to_be_stored_is_bound_to_nobody(gateway: RunningGateway) -> None:
    name = gateway.chat(store=False).json["id"]
    assert get(gateway, name).error == NOT_STORED
    assert "stored" not in gateway.lines()[0]


@pytest.mark.parametrize(("method", "after"), [("GET", ""), ("GET", "/messages"), ("DELETE", "")])
def test_another_organization_s_is_as_unknown_as_none(
    gateway: RunningGateway, asked: Callable[[], Any], method: str, after: str
) -> None:
    name, secret = store(gateway), stranger()
    theirs = get(gateway, name + after, secret=secret, method=method)
    nobody_s = get(gateway, "chatcmpl-none" + after, secret=secret, method=method)
    assert theirs.error == nobody_s.error == NOT_STORED
    assert theirs.body == nobody_s.body
    assert len(asked()) == 1


def test_a_key_that_may_not_use_the_model_finds_nothing(gateway: RunningGateway) -> None:
    name = store(gateway)
    assert gateway.organization
    _, other_model = make_key(gateway.organization, allowed_models=["other"])
    _, other_scope = make_key(gateway.organization, scopes=["embeddings"])
    assert get(gateway, name, secret=other_model).error == NOT_STORED
    assert get(gateway, name, secret=other_scope).error == (401, "invalid_request_error", "missing_scope")
    assert get(gateway, "none", secret=other_scope).error == (401, "invalid_request_error", "missing_scope")


@pytest.mark.parametrize(
    "name", ["a%2Fmessages", "..", "%2e%2e", "a/b", "a.b", "a%00b", "x" * 10_000, "", "chatcmpl-%64emo"]
)
def test_an_id_that_is_none_reaches_no_upstream(gateway: RunningGateway, asked: Callable[[], Any], name: str) -> None:
    answer = gateway.request("GET", "/v1/chat/completions/" + name)
    assert answer.status == 404
    assert asked() == []


def test_a_list_of_all_is_not_served(gateway: RunningGateway, asked: Callable[[], Any]) -> None:
    assert gateway.request("GET", "/v1/chat/completions").status == 405
    assert asked() == []


def test_what_changes_it_has_to_be_an_object(gateway: RunningGateway) -> None:
    assert gateway.post(f"/v1/chat/completions/{store(gateway)}", b"[1]").status == 400


def test_equal_ids_of_two_upstreams_do_not_mix(gateway: RunningGateway) -> None:
    def answer(says: str) -> bytes:
        message = {"message": {"role": "assistant", "content": says}, "index": 0, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return whole(json.dumps({"id": "chatcmpl-same", "choices": [message], "usage": usage}).encode())

    with scripted.upstream([answer("one")]) as one, scripted.upstream([answer("two")]) as two:
        for name, url in (("kept-one", one), ("kept-two", two)):
            model = make_model(name)
            Route.objects.filter(model=model).update(upstream=Upstream.objects.create(name=name, base_url=url))
        announce()
        secret = stranger()
        for name, key in (("kept-one", gateway.secret), ("kept-two", secret)):
            body = {"model": name, "messages": SAID, "store": True}
            assert gateway.post("/v1/chat/completions", body, secret=key).json["id"] == "chatcmpl-same"
        mine, theirs = get(gateway, "chatcmpl-same"), get(gateway, "chatcmpl-same", secret=secret)
        assert [found.json["choices"][0]["message"]["content"] for found in (mine, theirs)] == ["one", "two"]
    Model.objects.filter(public_id__startswith="kept-").update(enabled=False)


def test_every_gateway_knows_it_at_once(gateway: RunningGateway, fleet: list[str]) -> None:
    name = store(gateway)
    for address in fleet:
        client = openai.OpenAI(api_key=gateway.secret, base_url=f"{address}/v1", max_retries=0)
        assert client.chat.completions.retrieve(name).id == name


def test_it_outlives_a_loss_of_valkey(gateway: RunningGateway, settings: Any, tmp_path: Path) -> None:
    name = store(gateway)
    posted(gateway, settings, tmp_path)
    emptied(gateway)
    assert get(gateway, name).json["id"] == name
    assert get(gateway, name, secret=stranger()).error == NOT_STORED


def test_it_is_known_by_its_line_where_valkey_was_not_told(
    gateway: RunningGateway, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: Any, **_options: Any) -> None:
        raise Unreachable("away")

    with monkeypatch.context() as losing:
        losing.setattr(HotState, "bind", away)
        name = store(gateway)
        assert get(gateway, name).error == NOT_STORED
        posted(gateway, settings, tmp_path)
        assert get(gateway, name).status == 200


def test_where_nobody_can_tell_whose_it_is_it_is_not_said_to_be_nobody_s(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: Any) -> None:
        raise Unreachable("away")

    monkeypatch.setattr(Bindings, "find", away)
    assert get(gateway, "chatcmpl-none").status == 503


def test_a_route_that_is_switched_off_is_said_to_be_away(gateway: RunningGateway) -> None:
    name = store(gateway)
    Route.objects.update(enabled=False)
    announce()
    try:
        assert get(gateway, name).error == (503, "server_error", "model_unavailable")
    finally:
        Route.objects.update(enabled=True)
        announce()


def test_valkey_forgets_it_in_time(gateway: RunningGateway, settings: Any) -> None:
    store(gateway)
    (name,) = valkey().scan_iter(match=f"*{gateway.organization.public_id}*stored*")  # type: ignore[union-attr]
    assert 0 < valkey().pttl(name) <= settings.STORED_HOT_SECONDS * 1000
