"""The official SDK gets what it expects, and what it used is logged to the token and the nano-dollar."""

import json

import pytest

from tests.gateway.conftest import RunningGateway

INPUT, OUTPUT = 3_000, 15_000


def test_chat_completions(gateway: RunningGateway) -> None:
    answer = gateway.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "hello world"}]
    )
    assert answer.choices[0].message.content == "You said: hello world"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 4)
    (line,) = gateway.lines()
    assert line["usage"] == {"requests": 1, "input_tokens": 2, "output_tokens": 4}
    assert line["charge_nanos"] == 2 * INPUT + 4 * OUTPUT
    assert (line["outcome"], line["status"], line["endpoint"]) == ("completed", 200, "chat.completions")
    assert gateway.key
    assert (line["key"], line["org"]) == (gateway.key.public_id, gateway.key.organization.public_id)
    assert gateway.held_nanos() == line["charge_nanos"]


def test_chat_completions_streamed_without_the_chunk_that_was_not_asked_for(gateway: RunningGateway) -> None:
    stream = gateway.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "hello world"}], stream=True
    )
    # As clients do: index choices[0] of every chunk.
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.split() == ["You", "said:", "hello", "world"]
    (line,) = gateway.lines()
    assert line["usage"] == {"requests": 1, "input_tokens": 2, "output_tokens": 4}
    assert (line["stream"], line.get("estimated", False)) == (True, False)


def test_a_stream_has_its_usage_where_the_client_asks(gateway: RunningGateway) -> None:
    stream = gateway.openai().chat.completions.create(
        model="demo-chat",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    usages = [chunk.usage for chunk in stream if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [3]
    gateway.lines()


def test_text_completions(gateway: RunningGateway) -> None:
    answer = gateway.openai().completions.create(model="demo-chat", prompt="once upon a time", max_tokens=3)
    assert answer.choices[0].text == "You said: once"
    (line,) = gateway.lines()
    assert (line["endpoint"], line["usage"]["output_tokens"]) == ("completions", 3)


def test_embeddings(gateway: RunningGateway) -> None:
    answer = gateway.openai().embeddings.create(model="demo-chat", input=["one two", "three"])
    assert [len(item.embedding) for item in answer.data] == [1536, 1536]
    (line,) = gateway.lines()
    assert line["usage"] == {"requests": 1, "input_tokens": 3, "output_tokens": 0}
    assert line["charge_nanos"] == 3 * INPUT


def test_models_are_those_that_the_key_may_use(gateway: RunningGateway) -> None:
    client = gateway.openai()
    assert [model.id for model in client.models.list()] == ["demo-chat"]
    assert client.models.retrieve("demo-chat").owned_by == "keymeter"
    assert gateway.request("GET", "/v1/models/other").error == (404, "invalid_request_error", "model_not_found")


def test_cached_and_reasoning_tokens_are_parts_of_the_totals(gateway: RunningGateway) -> None:
    gateway.chat("!usage=100,50 !cached=40")
    (line,) = gateway.lines()
    assert line["usage"] == {"requests": 1, "input_tokens": 60, "cached_input_tokens": 40, "output_tokens": 50}
    assert line["charge_nanos"] == 60 * INPUT + 40 * INPUT // 10 + 50 * OUTPUT


def test_an_explicit_zero_is_not_replaced_by_an_estimate(gateway: RunningGateway) -> None:
    gateway.chat("!usage=0,0")
    (line,) = gateway.lines()
    assert (line["charge_nanos"], line.get("estimated", False)) == (0, False)


@pytest.mark.parametrize("stream", [False, True])
def test_missing_usage_is_estimated_and_marked(gateway: RunningGateway, stream: bool) -> None:
    gateway.chat("abcdefgh !nousage", stream=stream)
    (line,) = gateway.lines()
    assert (line["estimated"], line["estimator"]) == (True, 2)
    messages = json.dumps([{"role": "user", "content": "abcdefgh !nousage"}])
    assert line["usage"]["input_tokens"] == -(-len(messages) // 4)
    assert line["usage"]["output_tokens"] == -(-len("You said: abcdefgh !nousage") // 4)


def test_several_choices_are_in_the_counts(gateway: RunningGateway) -> None:
    gateway.chat("hello", n=3)
    (line,) = gateway.lines()
    assert line["usage"]["output_tokens"] == 9


def test_ids_and_numbers_of_the_log_are_those_of_the_request(gateway: RunningGateway) -> None:
    ids = [gateway.chat().headers["x-request-id"] for _ in range(3)]
    lines = gateway.lines(3)
    assert [line["id"] for line in lines] == ids
    first = lines[0]["seq"]
    assert [line["seq"] for line in lines] == [first, first + 1, first + 2]
    assert len({line["source"] for line in lines}) == 1


def test_the_api_key_header_works_too(gateway: RunningGateway) -> None:
    assert gateway.request("GET", "/v1/models", secret="", headers={"api-key": gateway.secret}).status == 200
