import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from devstack.modelserver.directives import Directives
from devstack.places import CHECKOUT
from devstack.ports import HOST, Ports
from devstack.process import spawn
from tests.devstack.stack import answers
from tests.waiting import wait_until

CREDENTIAL = "a-credential-for-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo model server."""
    port = Ports().any()
    log = Path(tmp_path_factory.mktemp("models")) / "log"
    environment = os.environ | {"MODELS_CREDENTIAL": CREDENTIAL}
    command = [sys.executable, "-m", "devstack.modelserver", "--port", str(port)]
    process = spawn(command, log=log, environment=environment, cwd=CHECKOUT)
    wait_until(lambda: answers(f"http://{HOST}:{port}/readyz"), "the model server")
    yield f"http://{HOST}:{port}"
    process.terminate()
    assert process.wait(10) == 0
    assert log.read_text() == ""


@pytest.fixture
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key=CREDENTIAL, max_retries=0, timeout=10)


def ask(client: openai.OpenAI, text: str, **options: Any) -> Any:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return client.chat.completions.create(model="demo-chat", messages=messages, **options)  # type: ignore[call-overload]


def control(server: str, path: str, order: object = None) -> Any:
    data = json.dumps(order).encode() if order else None
    with urllib.request.urlopen(server + path, data=data, timeout=5) as answer:
        return json.load(answer)


def last_record(server: str) -> dict[str, Any]:
    return dict(control(server, "/_control/requests")[-1])


def test_chat_answers_with_exact_usage(client: openai.OpenAI) -> None:
    answer = ask(client, "Hello big world", n=2)
    assert [choice.message.content for choice in answer.choices] == ["You said: Hello big world"] * 2
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 10, 15)


def test_details_of_usage_on_demand(client: openai.OpenAI) -> None:
    usage = ask(client, "Hello !cached=2 !reasoning=7").usage
    assert usage.prompt_tokens_details.cached_tokens == 2
    assert usage.completion_tokens_details.reasoning_tokens == 7
    assert usage.completion_tokens == 5 + 7


@pytest.mark.parametrize("option", ["max_tokens", "max_completion_tokens"])
def test_a_limit_is_kept(client: openai.OpenAI, option: str) -> None:
    answer = ask(client, "Hello big world", **{option: 3})
    assert answer.choices[0].message.content == "You said: Hello"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_a_stream_has_usage_only_if_asked(client: openai.OpenAI) -> None:
    plain = list(ask(client, "Hello", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == "You said: Hello"
    assert plain[-1].choices[0].finish_reason == "stop"
    asked = list(ask(client, "Hello", stream=True, stream_options={"include_usage": True}))
    assert asked[-1].choices == []
    assert asked[-1].usage.completion_tokens == 3


def test_plain_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="demo-chat", prompt="One two")
    assert answer.choices[0].text == "You said: One two"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 4)
    streamed = client.completions.create(model="demo-chat", prompt="One two", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == "You said: One two"


def test_embeddings_have_unit_length_and_depend_on_the_text_alone(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="demo-embed", input=["one two", "three"])
    again = client.embeddings.create(model="demo-embed", input="three", encoding_format="float")
    first, second = (item.embedding for item in answer.data)
    assert len(first) == 1536
    assert sum(part * part for part in first) == pytest.approx(1, abs=1e-5)
    assert second == pytest.approx(again.data[0].embedding, abs=1e-6)
    assert answer.usage.prompt_tokens == 3


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "demo-chat" in [model.id for model in client.models.list()]


def test_the_credential_is_needed(server: str) -> None:
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server}/v1", api_key="wrong", max_retries=0).models.list()


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_statuses_on_demand(client: openai.OpenAI, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, f"!status={status}")
    assert caught.value.status_code == status


def test_garbage_on_demand(client: openai.OpenAI) -> None:
    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        ask(client, "!garbage")


def test_a_cut_in_the_middle_of_a_stream(client: openai.OpenAI, server: str) -> None:
    received = []
    with pytest.raises(openai.APIConnectionError):
        for chunk in ask(client, "!words=9 !cut=2", stream=True):
            received.append(chunk)  # noqa: PERF402 (what came before the cut counts)
    assert len(received) == 2
    assert last_record(server)["outcome"] == "cut"


def test_an_error_in_the_middle_of_a_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="stopped working"):
        list(ask(client, "!words=9 !error=2", stream=True))


def test_a_client_that_leaves_an_endless_stream_is_noticed(client: openai.OpenAI, server: str) -> None:
    stream = ask(client, "!endless", stream=True)
    next(iter(stream))
    stream.close()
    wait_until(lambda: last_record(server)["outcome"] == "disconnected", "the disconnect")
    assert last_record(server)["body"]["stream"] is True
    assert "Authorization" not in last_record(server)["headers"]


def test_a_client_that_leaves_before_the_first_byte_is_noticed(client: openai.OpenAI, server: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client, "!hang=60", timeout=0.2)
    wait_until(lambda: last_record(server)["outcome"] == "disconnected", "the disconnect")


def test_delay_huge_answers_and_missing_usage(client: openai.OpenAI) -> None:
    start = time.monotonic()
    list(ask(client, "!words=3 !delay=0.05", stream=True))
    assert time.monotonic() - start > 0.15
    answer = ask(client, "!huge=3000000 !nousage")
    assert len(answer.choices[0].message.content) == 3_000_000
    assert answer.usage is None


def test_the_control_endpoint_orders_the_next_answers(client: openai.OpenAI, server: str) -> None:
    control(server, "/_control/behave", {"say": "!status=500", "times": 1})
    with pytest.raises(openai.InternalServerError):
        ask(client, "Hello")
    assert ask(client, "Hello").usage.completion_tokens == 3


def test_words_that_are_no_directives_are_left_alone() -> None:
    assert Directives.parse("wow! !unknown=1 !words=many hello") == Directives()
