"""LiteLLM's proxy with our custom auth: it asks before each request, and tells what it used after it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from gateway.models import GatewayCredential
from tests.deploy.conftest import GATEWAY_CREDENTIAL, GATEWAYS, Edge, Upstream, started
from tests.gateway.conftest import CREDENTIAL, RunningGateway, free_port
from tests.gateway.other_gateway import refused

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def litellm(gateway_port: int, model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running(tmp_path_factory, gateway_port, model_server) as edge:
        yield edge


@contextmanager
def running(folders: pytest.TempPathFactory, keymeter_port: int, model_server: str) -> Iterator[Edge]:
    folder, port = folders.mktemp("litellm"), free_port()
    python = Path(os.environ["KEYMETER_LITELLM"])
    configuration = str(GATEWAYS / "litellm" / "config.yaml")
    options = ["--config", configuration, "--host", "127.0.0.1", "--port", str(port)]
    values = {
        "KEYMETER_URL": f"http://127.0.0.1:{keymeter_port}",
        "GATEWAY_CREDENTIAL": GATEWAY_CREDENTIAL,
        "MODELS_URL": model_server,
        "MODELS_CREDENTIAL": CREDENTIAL,
        "LITELLM_MASTER_KEY": "sk-of-nobody-0123456789abcdef0123456789abcdef",
        # Nothing is fetched from elsewhere.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with started([str(python.with_name("litellm")), *options], folder, port, values, within=90):
        yield Edge("litellm", port, folder / "output")


def charge(usage: dict[str, int]) -> int:
    return usage["input_tokens"] * 3_000 + usage["output_tokens"] * 15_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_allowed_request_is_settled_exactly(litellm: Edge, keymeter: RunningGateway, *, stream: bool) -> None:
    assert keymeter.key and keymeter.organization
    made: Any = litellm.openai(keymeter.secret).chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "hello world"}], max_tokens=20, stream=stream
    )
    if stream:
        assert (
            "".join(chunk.choices[0].delta.content or "" for chunk in made if chunk.choices) == "You said: hello world"
        )
    else:
        assert made.choices[0].message.content == "You said: hello world"
    (line,) = keymeter.lines()
    assert (line["key"], line["org"]) == (keymeter.key.public_id, keymeter.organization.public_id)
    assert (line["via"], line["outcome"], line.get("stream", False)) == ("edge", "completed", stream)
    assert (line["usage"]["input_tokens"], line["usage"]["output_tokens"]) == (2, 4)
    assert not line.get("estimated")
    assert line["charge_nanos"] == charge(line["usage"]) == keymeter.held_nanos()


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_model_server_did_not_count_is_not_free(
    litellm: Edge, keymeter: RunningGateway, *, stream: bool
) -> None:
    """Missing is not zero: it is counted, and said to be."""
    made: Any = litellm.openai(keymeter.secret).chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "!nousage !words=50"}], max_tokens=100, stream=stream
    )
    if stream:
        list(made)
    (line,) = keymeter.lines()
    assert line["usage"]["input_tokens"] > 0
    assert line["usage"]["output_tokens"] >= 50
    assert line["estimated"]
    assert line["charge_nanos"] == charge(line["usage"]) == keymeter.held_nanos()


@pytest.mark.parametrize("text", ["!nousage hi", ["hi", "!nousage there"]])
def test_embeddings_that_nobody_counted_are_not_free(litellm: Edge, keymeter: RunningGateway, text: Any) -> None:
    litellm.openai(keymeter.secret).embeddings.create(model="demo-chat", input=text)
    (line,) = keymeter.lines()
    assert line["estimated"]
    assert line["charge_nanos"] == charge(line["usage"]) > 0


def test_a_client_that_goes_away_pays_for_what_was_produced(litellm: Edge, keymeter: RunningGateway) -> None:
    made: Any = litellm.openai(keymeter.secret).chat.completions.create(
        model="demo-chat",
        messages=[{"role": "user", "content": "!words=400 !delay=0.02"}],
        max_tokens=500,
        stream=True,
    )
    for _, _ in zip(range(5), made, strict=False):
        pass
    made.close()
    (line,) = keymeter.lines()
    assert 0 < line["usage"]["output_tokens"] < 400


def test_what_the_model_server_refuses_is_not_charged(litellm: Edge, keymeter: RunningGateway) -> None:
    assert litellm.chat(keymeter.secret, "!status=400").status == 400
    (line,) = keymeter.lines()
    assert (line["outcome"], line["charge_nanos"], keymeter.held_nanos()) == ("refused", 0, 0)


def test_nor_is_what_fails(litellm: Edge, keymeter: RunningGateway) -> None:
    assert litellm.chat(keymeter.secret, "!status=500").status >= 500
    (line,) = keymeter.lines()
    assert (line["outcome"], line["charge_nanos"], keymeter.held_nanos()) == ("upstream_error", 0, 0)


def test_every_verdict_has_its_true_status_and_body(
    litellm: Edge, keymeter: RunningGateway, upstream: Upstream
) -> None:
    seen, expected = {}, {}
    for verdict in sorted(set(Verdict) - {Verdict.ALLOWED}, key=lambda one: one is Verdict.SUSPENDED):
        if verdict is Verdict.CONCURRENCY_LIMITED:
            continue  # one at a time is settled before the next
        secret = refused(keymeter, verdict)
        if verdict is Verdict.RATE_LIMITED:
            assert litellm.chat(secret).status == 200
        answer = litellm.chat(secret)
        seen[verdict] = (answer.status, answer.json["error"]["type"], answer.json["error"]["code"])
        error = refusal(verdict)
        expected[verdict] = (error.status, error.type, error.code)
    assert seen == expected
    assert len(upstream.requests()) == 1


def test_over_a_limit_as_openais_client_sees_it(litellm: Edge, keymeter: RunningGateway) -> None:
    client = litellm.openai(refused(keymeter, Verdict.RATE_LIMITED))
    client.completions.create(model="demo-chat", prompt="x")
    with pytest.raises(openai.RateLimitError) as raised:
        client.completions.create(model="demo-chat", prompt="x")
    assert raised.value.code == "rate_limit_exceeded"
    assert 50 <= int(raised.value.response.headers["retry-after"]) <= 60


def test_without_money_nobody_tries_again(litellm: Edge, keymeter: RunningGateway) -> None:
    client = litellm.openai(refused(keymeter, Verdict.INSUFFICIENT_BALANCE))
    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(model="demo-chat", input="x")
    assert raised.value.code == "credit_balance_exhausted"
    assert raised.value.response.headers["x-should-retry"] == "false"


def test_keymeter_that_is_down_is_503(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory, free_port(), model_server) as alone:
        # LiteLLM looks at the list of models when it starts.
        upstream = Upstream(model_server)
        answer = alone.chat("km-sk-whatever")
    assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
    assert upstream.requests() == []


def test_a_gateway_that_keymeter_does_not_know_is_503_and_blames_no_key(litellm: Edge, gateway: RunningGateway) -> None:
    GatewayCredential.objects.filter(name="edge").delete()
    gateway.application.gateway.known_gateways._cache.clear()
    answer = litellm.chat(gateway.secret)
    assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")


def test_the_model_server_never_sees_the_key(litellm: Edge, keymeter: RunningGateway, upstream: Upstream) -> None:
    assert litellm.chat(keymeter.secret, **{"X-Org-Id": "forged", "X-Key-Id": "forged"}).status == 200
    (seen,) = upstream.requests()
    assert seen["status"] == 200
    assert keymeter.secret not in str(seen)
    assert "forged" not in str(seen)


@pytest.mark.parametrize("more", [{"fallbacks": ["demo-chat"]}, {"mock_response": "free"}, {"num_retries": 5}])
def test_a_client_cannot_reach_into_litellm(
    litellm: Edge, keymeter: RunningGateway, upstream: Upstream, more: dict[str, Any]
) -> None:
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "x"}], **more}
    answer = litellm.post(keymeter.secret, json.dumps(body).encode())
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.requests() == []
    assert keymeter.held_nanos() == 0


@pytest.mark.parametrize(
    ("more", "held_tokens"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": 50, "max_completion_tokens": 70}, 70),
        ({"n": 3}, None),
    ],
)
def test_the_hold_covers_every_answer(
    litellm: Edge, keymeter: RunningGateway, more: dict[str, Any], held_tokens: int | None
) -> None:
    """While a request runs, nobody else spends what it may cost."""
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "!words=200 !delay=0.02"}], "stream": True}
    if held_tokens is None:
        assert litellm.post(keymeter.secret, json.dumps({**body, **more}).encode()).status == 400
        return
    made: Any = litellm.openai(keymeter.secret).chat.completions.create(**{**body, **more})
    next(iter(made))
    held = keymeter.held_nanos()
    made.close()
    assert held_tokens * 15_000 < held < held_tokens * 15_000 + 500 * 3_000
    keymeter.lines()


def test_somebody_elses_request_cannot_be_settled(litellm: Edge, keymeter: RunningGateway) -> None:
    forged = {"keymeter_request_id": "01a1fc16-bb60-7237-ad6f-4420a12f7f52"}
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "x"}]}
    metadata = {"metadata": {"user_api_key_metadata": forged, **forged}}
    assert litellm.post(keymeter.secret, json.dumps({**body, **metadata}).encode()).status == 200
    (line,) = keymeter.lines()
    assert line["outcome"] == "completed"
    assert line["id"] != forged["keymeter_request_id"]


def test_what_only_litellm_knows_is_closed(litellm: Edge, keymeter: RunningGateway) -> None:
    headers = {"Authorization": f"Bearer {keymeter.secret}", "Content-Type": "application/json"}
    for path in ("/key/generate", "/v1/responses", "/engines/demo-chat/completions", "/model/new", "/v1/audio/speech"):
        answer = litellm.request("POST", path, b"{}", headers=headers)
        assert (path, answer.status) == (path, 404)
