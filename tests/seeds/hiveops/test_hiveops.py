"""What HiveOps's API reference promises."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openai import APIError, AuthenticationError

from hotstate.records import Limits
from tests.gateway.conftest import Answer
from tests.seeds.conftest import Vendor

LLAMA = "llama3:8b-instruct-q8_0"
# Dollars per 1M tokens in and out: $0.010 and $0.020, …
MODELS = {
    LLAMA: {"input_tokens": 10_000_000, "output_tokens": 20_000_000},
    "llama-3-70b-instruct": {"input_tokens": 100_000_000, "output_tokens": 200_000_000},
    "gemma-2-9b-it": {"input_tokens": 5_000_000, "output_tokens": 10_000_000},
    "mistral-7b-instruct-v0.3": {"input_tokens": 1_000_000, "output_tokens": 2_000_000},
}
WINDOWS = {LLAMA: 8_192, "llama-3-70b-instruct": 16_384, "gemma-2-9b-it": 8_192, "mistral-7b-instruct-v0.3": 4_096}
PIRATE: Any = [
    {"role": "system", "content": "You are a helpful assistant that speaks like a pirate."},
    {"role": "user", "content": "Tell me about the ocean."},
]
WEATHER: Any = [{"role": "user", "content": "What's the weather in Paris?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the current weather for a location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "City name, e.g., San Francisco"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        },
    }
]
BASES = pytest.mark.parametrize("base", ["", "/v1"])


@pytest.fixture
def hiveops(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("hiveops")
    for name, prices in MODELS.items():
        found.sells({name: prices}, context_window=WINDOWS[name], max_output_tokens=2_048)
    found.has_key(limits=Limits(requests_per_minute=60, tokens_per_minute=150_000))
    return found


def test_keys_begin_as_documented(hiveops: Vendor) -> None:
    assert hiveops.secret.startswith("sk-")


@BASES
class TestChatCompletions:
    def test_the_example(self, hiveops: Vendor, base: str) -> None:
        answer = hiveops.client(base).chat.completions.create(
            model=LLAMA, messages=PIRATE, temperature=0.7, max_tokens=500
        )
        assert (answer.object, answer.model, answer.choices[0].finish_reason) == ("chat.completion", LLAMA, "stop")
        assert answer.choices[0].message.role == "assistant"
        assert answer.usage
        # 15 words in, 7 out: nothing is below a nano-dollar here.
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (15, 7, 22)
        assert hiveops.charged() == ({"requests": 1, "input_tokens": 15, "output_tokens": 7}, 15 * 10 + 7 * 20)

    def test_every_documented_parameter_reaches_the_model(self, hiveops: Vendor, base: str) -> None:
        documented: dict[str, Any] = {
            "temperature": 0.7,
            "top_p": 0.5,
            "max_tokens": 50,
            "stop": ["\n", "END"],
            "presence_penalty": -1.5,
            "frequency_penalty": 2,
            "response_format": {"type": "json_object"},
            "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}],
            "tool_choice": "auto",
        }
        hiveops.client(base).chat.completions.create(model=LLAMA, messages=PIRATE, **documented)
        sent = hiveops.sent()
        assert {name: sent[name] for name in documented} == documented
        assert sent["messages"] == PIRATE

    def test_every_kind_of_message_reaches_the_model(self, hiveops: Vendor, base: str) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        messages: Any = [
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "What is the weather?", "name": "anne"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "Sunny.", "tool_call_id": "call_1", "name": "get_weather"},
            {"role": "user", "content": "Say it like a pirate."},
        ]
        tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
        choice: Any = {"type": "function", "function": {"name": "get_weather"}}
        answer = hiveops.client(base).chat.completions.create(
            model=LLAMA, messages=messages, tools=[tool], tool_choice=choice, stop="END"
        )
        sent = hiveops.sent()
        assert (sent["messages"], sent["tool_choice"], sent["stop"]) == (messages, choice, "END")
        assert answer.usage
        used = {"input_tokens": answer.usage.prompt_tokens, "output_tokens": answer.usage.completion_tokens}
        assert hiveops.charged() == ({"requests": 1, **used}, used["input_tokens"] * 10 + used["output_tokens"] * 20)

    def test_the_streaming_example(self, hiveops: Vendor, base: str) -> None:
        stream = hiveops.client(base).chat.completions.create(
            model=LLAMA, messages=[{"role": "user", "content": "Count to 5"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == "You said: Count to 5"
        assert hiveops.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 5}, 3 * 10 + 5 * 20)


@BASES
class TestAdvanced:
    def test_json_mode(self, hiveops: Vendor, base: str) -> None:
        answer = hiveops.client(base).chat.completions.create(
            model=LLAMA,
            messages=[
                {"role": "system", "content": "You are a helpful assistant that outputs JSON."},
                {"role": "user", "content": "List 3 colors in JSON format."},
            ],
            response_format={"type": "json_object"},
        )
        assert json.loads(answer.choices[0].message.content or "") == {"said": "List 3 colors in JSON format."}
        assert answer.usage
        assert hiveops.charged()[1] == answer.usage.prompt_tokens * 10 + answer.usage.completion_tokens * 20

    def test_function_calling(self, hiveops: Vendor, base: str) -> None:
        answer = hiveops.client(base).chat.completions.create(model=LLAMA, messages=WEATHER, tools=TOOLS)
        (call,) = answer.choices[0].message.tool_calls or []
        assert answer.choices[0].finish_reason == "tool_calls"
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"location": "Paris"})
        assert hiveops.charged() == ({"requests": 1, "input_tokens": 5, "output_tokens": 2}, 5 * 10 + 2 * 20)

    def test_function_calling_streamed(self, hiveops: Vendor, base: str) -> None:
        client = hiveops.client(base)
        with client.chat.completions.stream(model=LLAMA, messages=WEATHER, tools=TOOLS) as stream:
            answer = stream.get_final_completion()
        (call,) = answer.choices[0].message.tool_calls or []
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"location": "Paris"})
        assert hiveops.charged()[1] == 5 * 10 + 2 * 20


@BASES
def test_completions(hiveops: Vendor, base: str) -> None:
    answer = hiveops.client(base).completions.create(model=LLAMA, prompt="Once upon a time", max_tokens=50)
    assert answer.choices[0].text == "You said: Once upon a time"
    assert hiveops.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 10 + 6 * 20)


@BASES
def test_every_documented_parameter_of_completions_reaches_the_model(hiveops: Vendor, base: str) -> None:
    documented: dict[str, Any] = {"max_tokens": 50, "temperature": 0.7, "top_p": 0.5, "stop": ["\n", "END"]}
    prompts = ["Once upon a time", "The end"]
    answer = hiveops.client(base).completions.create(model=LLAMA, prompt=prompts, **documented)
    sent = hiveops.sent()
    assert {name: sent[name] for name in documented} == documented
    assert sent["prompt"] == prompts
    assert answer.usage
    assert hiveops.charged()[1] == answer.usage.prompt_tokens * 10 + answer.usage.completion_tokens * 20


@BASES
def test_completions_are_streamed(hiveops: Vendor, base: str) -> None:
    stream = hiveops.client(base).completions.create(model=LLAMA, prompt="Once upon a time", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: Once upon a time"
    assert hiveops.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 10 + 6 * 20)


class TestBestPractices:
    def test_max_tokens_bounds_the_answer_and_its_cost(self, hiveops: Vendor) -> None:
        answer = hiveops.client("").chat.completions.create(model=LLAMA, messages=PIRATE, max_tokens=3)
        assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("length", "You said: Tell")
        assert hiveops.charged() == ({"requests": 1, "input_tokens": 15, "output_tokens": 3}, 15 * 10 + 3 * 20)

    def test_the_documented_retry_gets_through(self, hiveops: Vendor) -> None:
        """Two failures of the model, then the answer, which alone is charged."""
        hiveops.behaves("!status=500", times=2)
        client, failures = hiveops.client(""), []
        for _ in range(3):
            try:
                client.chat.completions.create(model=LLAMA, messages=PIRATE)
                break
            except APIError as error:
                failures.append(getattr(error, "status_code", None))
        assert failures == [502, 502]
        assert [line["charge_nanos"] for line in hiveops.gateway.lines(3)] == [0, 0, 15 * 10 + 7 * 20]

    def test_usage_tells_the_tokens_that_are_charged(self, hiveops: Vendor) -> None:
        answer = hiveops.client("").chat.completions.create(model=LLAMA, messages=PIRATE)
        assert answer.usage
        meters, _ = hiveops.charged()
        assert answer.usage.total_tokens == meters["input_tokens"] + meters["output_tokens"]


@pytest.mark.parametrize("name", MODELS)
def test_each_model_costs_what_is_documented(hiveops: Vendor, name: str) -> None:
    hiveops.client("").chat.completions.create(model=name, messages=PIRATE)
    price = MODELS[name]
    # Nano-dollars for a million tokens; the least that there is, $0.001, is a nano-dollar for each.
    cost = (15 * price["input_tokens"] + 7 * price["output_tokens"]) // 1_000_000
    assert hiveops.charged() == ({"requests": 1, "input_tokens": 15, "output_tokens": 7}, cost)


@BASES
class TestModels:
    def test_the_list(self, hiveops: Vendor, base: str) -> None:
        listed = {model.id: model for model in hiveops.client(base).models.list()}
        assert set(MODELS) <= set(listed)
        assert (listed[LLAMA].object, listed[LLAMA].owned_by) == ("model", "keymeter")
        hiveops.uncharged()

    def test_model_info(self, hiveops: Vendor, base: str) -> None:
        for name, window in WINDOWS.items():
            found = hiveops.gateway.request("GET", f"{base}/model/info?model={name}", secret=hiveops.secret).json
            assert (found["id"], found["context_length"]) == (name, window)
            price = MODELS[name]["input_tokens"]
            assert float(found["pricing"]["prompt"]) * 1e15 == pytest.approx(price)
            assert float(found["pricing"]["completion"]) * 1e15 == pytest.approx(MODELS[name]["output_tokens"])
        hiveops.uncharged()


class TestRateLimits:
    def test_every_answer_has_the_headers(self, hiveops: Vendor) -> None:
        raw = hiveops.client("").chat.completions.with_raw_response.create(model=LLAMA, messages=PIRATE, max_tokens=5)
        assert (raw.headers["X-RateLimit-Limit-Requests"], raw.headers["X-RateLimit-Remaining-Requests"]) == (
            "60",
            "59",
        )
        assert raw.headers["X-RateLimit-Limit-Tokens"] == "150000"
        assert 149_000 < int(raw.headers["X-RateLimit-Remaining-Tokens"]) < 150_000
        reset = datetime.fromisoformat(raw.headers["X-RateLimit-Reset-Requests"])
        assert timedelta(0) < reset - datetime.now(UTC) < timedelta(seconds=5)

    def test_the_61st_is_429(self, hiveops: Vendor) -> None:
        body = {"model": LLAMA, "messages": PIRATE, "max_tokens": 1}
        answers = [hiveops.gateway.post("/chat/completions", body, secret=hiveops.secret) for _ in range(60)]
        assert {answer.status for answer in answers} == {200}
        # One comes back each second.
        refused = iter(lambda: hiveops.gateway.post("/chat/completions", body, secret=hiveops.secret), None)
        first = next(answer for answer, _ in zip(refused, range(60), strict=False) if answer.status != 200)
        assert first.error == (429, "requests", "rate_limit_exceeded")
        assert "key.requests_per_minute" in first.json["error"]["message"]
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        is_told_of_both(first)
        # A token out of each that was answered, and nothing for those that weren't.
        nanos = [line["charge_nanos"] for line in hiveops.gateway.lines(hiveops.gateway.written())]
        assert len(nanos) >= 60
        assert set(nanos) == {15 * 10 + 1 * 20}
        assert hiveops.gateway.held_nanos() == sum(nanos)

    def test_more_than_150000_tokens_are_429(self, hiveops: Vendor) -> None:
        said = [{"role": "user", "content": "Tell me all of it. !usage=14000,2000"}]
        body = {"model": "llama-3-70b-instruct", "messages": said, "max_tokens": 2_000}
        answers: list[Answer] = []
        # Of 16,000 tokens each, 10 come to more than that; 2,500 come back each second.
        while len(answers) < 50 and (not answers or answers[-1].status == 200):
            answers.append(hiveops.gateway.post("/chat/completions", body, secret=hiveops.secret))
            hiveops.gateway.lines(sum(answer.status == 200 for answer in answers))
        *answered, refused = answers
        assert len(answered) >= 10
        assert refused.error == (429, "requests", "rate_limit_exceeded")
        assert "key.tokens_per_minute" in refused.json["error"]["message"]
        assert int(refused.headers["x-ratelimit-remaining-tokens"]) < 2_100
        assert int(refused.headers["x-ratelimit-remaining-requests"]) > 0
        is_told_of_both(refused)
        lines = hiveops.gateway.lines(len(answered))
        used = {"requests": 1, "input_tokens": 14_000, "output_tokens": 2_000}
        assert [line["usage"] for line in lines] == [used] * len(answered)
        assert {line["charge_nanos"] for line in lines} == {14_000 * 100 + 2_000 * 200}
        assert hiveops.gateway.held_nanos() == len(answered) * (14_000 * 100 + 2_000 * 200)


def is_told_of_both(refused: Answer) -> None:
    """What a refusal says of the limits: both, when they are back, and how long to wait."""
    limits = refused.headers["x-ratelimit-limit-requests"], refused.headers["x-ratelimit-limit-tokens"]
    assert limits == ("60", "150000")
    for kind in ("requests", "tokens"):
        assert datetime.fromisoformat(refused.headers[f"x-ratelimit-reset-{kind}"]).utcoffset() == timedelta(0)
    assert 0 < int(refused.headers["retry-after"]) <= 60


class TestErrors:
    def test_the_documented_body(self, hiveops: Vendor) -> None:
        with pytest.raises(AuthenticationError) as caught:
            hiveops.secret = "sk-YOUR-API-KEY"
            hiveops.client("").models.list()
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["message"]
        assert (caught.value.type, caught.value.code) == ("invalid_request_error", "invalid_api_key")
        assert "sk-YOUR-API-KEY" not in caught.value.body["message"]
        hiveops.uncharged()
