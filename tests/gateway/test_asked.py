"""The hold covers whatever the request allows."""

from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rate_card import Priced
from billing.rating import charge
from billing.tariff import Tariff
from gateway.asked import Asked, read
from gateway.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, Endpoint
from gateway.offer import OfferedModel

TARIFF = Tariff(1, {"input_tokens": (3, 1), "cached_input_tokens": (1, 1), "output_tokens": (15, 1)})
PRICED = Priced(TARIFF, [])
MODEL = OfferedModel(
    pk=1,
    public_id="m",
    owned_by="us",
    created=0,
    families=frozenset({"chat"}),
    context_window=100_000,
    max_output_tokens=1_000,
    hides_reasoning=False,
    routes=(),
)


def asked(endpoint: Endpoint = CHAT, **fields: Any) -> Asked:
    return read(orjson.dumps({"model": "m", **fields}), endpoint)


def hold(endpoint: Endpoint = CHAT, **fields: Any) -> int:
    return asked(endpoint, **fields).hold_nanos(endpoint, MODEL, PRICED)


@pytest.mark.parametrize(
    ("endpoint", "fields", "output_tokens"),
    [
        (CHAT, {}, 1_000),
        (CHAT, {"max_tokens": 10}, 10),
        (CHAT, {"max_completion_tokens": 10}, 10),
        (CHAT, {"max_completion_tokens": 10, "max_tokens": 20}, 20),
        (CHAT, {"max_tokens": 10, "n": 3}, 30),
        (COMPLETIONS, {"prompt": "a", "max_tokens": 10}, 10),
        (COMPLETIONS, {"prompt": ["a", "b"], "max_tokens": 10}, 20),
        (COMPLETIONS, {"prompt": [1, 2, 3], "max_tokens": 10}, 10),
        (COMPLETIONS, {"prompt": [[1, 2], [3]], "max_tokens": 10}, 20),
        (COMPLETIONS, {"prompt": ["a", "b"], "max_tokens": 10, "n": 2, "best_of": 5}, 100),
        (EMBEDDINGS, {"input": "a", "max_tokens": 10}, 0),
    ],
)
def test_every_choice_of_every_prompt_may_be_as_long_as_it_may(
    endpoint: Endpoint, fields: dict[str, Any], output_tokens: int
) -> None:
    size = len(orjson.dumps({"model": "m", **fields}))
    assert hold(endpoint, **fields) == (size + 64) * 3 + output_tokens * 15


def test_a_link_to_an_image_may_be_as_large_as_the_context() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    assert hold(messages=[{"role": "user", "content": parts}], max_tokens=1) >= 100_000 * 3


@pytest.mark.parametrize(
    "content",
    [
        b'[{"typ\\u0065": "image_url", "image_url": {"url": "https://example.com/a.png"}}]',
        b'[{"image_url": {"url": "https://example.com/a.png"}}]',
        b'[{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {"data": "AA=="}}]',
        b'[{"type": "text", "type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]',
        b'{"type": "image_url"}',
        b'["a"]',
    ],
)
def test_whatever_is_not_known_to_be_text_may_be_as_large_as_the_context(content: bytes) -> None:
    body = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": ' + content + b"}]}"
    assert read(body, CHAT).hold_nanos(CHAT, MODEL, PRICED) >= 100_000 * 3


def test_a_spoken_answer_may_be_as_large_as_the_context() -> None:
    assert hold(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}], max_tokens=1) >= 100_000 * 3


@pytest.mark.parametrize(
    "message",
    [
        {"content": "a"},
        {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"content": [{"type": "text", "text": 'an "image_url"'}, {"type": "refusal", "refusal": "no"}]},
        {},
    ],
)
def test_text_is_held_by_its_size(message: dict[str, Any]) -> None:
    assert hold(messages=[{"role": "assistant", **message}], max_tokens=1) < 1_000 * 3


def test_a_model_that_hides_its_reasoning_holds_all_from_the_start() -> None:
    hiding = replace(MODEL, max_output_tokens=100_000, hides_reasoning=True)
    assert asked(stream=True).covered_output(CHAT, hiding) == 100_000


def test_a_stream_that_nobody_limited_holds_a_step_and_grows() -> None:
    large = replace(MODEL, max_output_tokens=100_000)
    question = asked(stream=True)
    assert question.covered_output(CHAT, large) == 1_024
    assert question.output_limit(large) == 100_000
    assert asked(stream=True, max_tokens=50_000).covered_output(CHAT, large) == 50_000
    assert asked().covered_output(CHAT, large) == 100_000


@given(st.text(), st.integers(1, 1000), st.integers(1, 5), st.integers(0, 100))
def test_no_answer_within_its_limits_costs_more_than_its_hold(text: str, most: int, n: int, cached: int) -> None:
    question = asked(messages=[{"role": "user", "content": text}], max_tokens=most, n=n)
    # Not even where every byte is a token.
    tokens = len(text.encode())
    usage = {
        "input_tokens": max(0, tokens - cached),
        "cached_input_tokens": min(tokens, cached),
        "reasoning_tokens": most * n,
    }
    assert question.hold_nanos(CHAT, MODEL, PRICED) >= charge(usage, TARIFF)


def test_the_upstream_is_asked_for_usage_and_by_its_own_name() -> None:
    body = orjson.loads(asked(stream=True, stream_options={"x": 1}).for_upstream(CHAT, MODEL, "theirs"))
    assert body["model"] == "theirs"
    assert body["stream_options"] == {"x": 1, "include_usage": True}


def test_the_upstream_is_told_the_limit_that_was_held() -> None:
    unlimited = asked(messages=[{"role": "user", "content": "x"}])
    assert orjson.loads(unlimited.for_upstream(CHAT, MODEL, "m"))["max_tokens"] == MODEL.max_output_tokens
    limited = asked(max_completion_tokens=7)
    assert "max_tokens" not in orjson.loads(limited.for_upstream(CHAT, MODEL, "m"))


def test_what_the_client_sent_reaches_the_upstream_as_it_is() -> None:
    body = b'{"model":"m","seed":123456789012345678901234567890,"x":{"deep":[1.0,1e5]},"max_tokens":5}'
    sent = read(body, CHAT).for_upstream(CHAT, MODEL, "theirs")
    assert sent == body.replace(b'"model":"m"', b'"model":"theirs"')


def test_no_objects_are_built_of_what_only_the_upstream_reads() -> None:
    """Three million empty lists would stop the gateway for seconds."""
    question = read(b'{"model":"m","input":[' + b"[]," * 3_300_000 + b"[]]}", EMBEDDINGS)
    assert isinstance(question.members["input"], msgspec.Raw)
    assert question.hold_nanos(EMBEDDINGS, MODEL, PRICED) > 9_900_000
