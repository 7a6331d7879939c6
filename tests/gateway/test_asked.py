"""The hold covers whatever the request allows."""

import json
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
from gateway.asking.asked import Asked, read
from gateway.asking.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, FORWARDED, RESPONSES, Endpoint
from gateway.errors import ApiError
from gateway.offering.offer import OfferedModel

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


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("a {", 0),
        (["a", '"{'], 0),
        ([[1, 2], [3]], 0),
        ([{"type": "image_url", "image_url": "https://example.com/a.png"}], 100_000),
        ({"image": "https://example.com/a.png"}, 100_000),
    ],
)
def test_what_is_embedded_may_be_a_link(given: Any, tokens: int) -> None:
    size = len(orjson.dumps({"model": "m", "input": given}))
    assert hold(EMBEDDINGS, input=given) == ((tokens or size) + 64) * 3


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        (b"[]", 1),
        (b'"a, b"', 1),
        (b"[ 1 , 2 ]", 1),
        (b'["a"]', 1),
        (b'["a, \\" [", "\\\\", "b"]', 3),
        (b"[[1, 2], [3], []]", 3),
        (b'[1, "a", "b"]', 3),
        (b'["a", 1, 2]', 3),
        (b"[" + b",".join([b'""'] * 2048) + b"]", 2048),
    ],
)
def test_what_is_a_prompt_by_itself_is_answered_by_itself(prompt: bytes, prompts: int) -> None:
    body = b'{"model": "m", "max_tokens": 10, "prompt": ' + prompt + b"}"
    assert read(body, COMPLETIONS).choices == prompts


@pytest.mark.parametrize("prompt", [b'""', b"[]", b"[1]", b"{}"])
def test_more_prompts_than_may_be_are_refused(prompt: bytes) -> None:
    with pytest.raises(ApiError, match="2048 prompts"):
        read(b'{"model": "m", "prompt": [' + b",".join([prompt] * 2049) + b"]}", COMPLETIONS)


BY_ENDPOINT = {CHAT: "messages", EMBEDDINGS: "messages", RESPONSES: "input", FORWARDED["/rerank"]: "documents"}


@pytest.mark.parametrize("endpoint", BY_ENDPOINT)
@pytest.mark.parametrize("one", [b"{}", b'""', b"[]", b'{"content": [{}]}'])
def test_millions_of_small_values_are_refused_by_their_bytes(endpoint: Endpoint, one: bytes) -> None:
    name = BY_ENDPOINT[endpoint]
    body = b'{"model": "m", "' + name.encode() + b'": [' + b",".join([one] * 100_001) + b"]}"
    with pytest.raises(ApiError, match=f"`{name}` has more than 100,000 values"):
        read(body, endpoint)


def test_text_has_as_many_signs_as_it_likes() -> None:
    text = '[{"a": "\\", 1}, ' * 100_000
    assert asked(messages=[{"role": "user", "content": text}]).text_bytes() == len(text)
    assert asked(endpoint=COMPLETIONS, prompt=text).choices == 1


@pytest.mark.parametrize("member", ["N", "Model", "MAX_TOKENS", "max_to\u212aens", "\u017ftream", "Stream_Options"])
def test_no_member_hides_behind_the_case_of_its_letters(member: str) -> None:
    """Servers in Go would take it for the one that is judged."""
    with pytest.raises(ApiError, match="is written"):
        read(b'{"model": "m", "%s": 128}' % member.encode(), CHAT)


@pytest.mark.parametrize(
    "member",
    [
        "models",
        "fallbacks",
        "n_predict",
        "N_Predict",
        "api_base",
        "mock_response",
        "request_id",
        "kv_transfer_params",
        "lora_path",
    ],
)
def test_no_member_leads_an_upstream_elsewhere(member: str) -> None:
    with pytest.raises(ApiError, match="isn't offered"):
        asked(**{member: "other"})


@pytest.mark.parametrize("member", ["model", "Model", "max_tokens", "n", "models", "service_tier", "extra_body"])
def test_nothing_that_is_judged_hides_in_what_is_put_over_it(member: str) -> None:
    with pytest.raises(ApiError, match="beside `extra_body`"):
        asked(extra_body={member: 5})
    assert asked(extra_body={"google": {}, "reasoning": 1}).model == "m"


def test_a_dearer_tier_is_not_to_be_had_for_the_same_price() -> None:
    with pytest.raises(ApiError, match="service_tier"):
        asked(service_tier="priority")
    assert asked(service_tier="flex").model == "m"


def test_usage_is_asked_for_in_one_way_only() -> None:
    options = {"include_usage": True, "Include_Usage": False, "other": 1}
    told = asked(stream=True, stream_options=options).for_upstream(CHAT, MODEL, "theirs")
    assert isinstance(told, bytes)
    assert orjson.loads(told)["stream_options"] == {"other": 1, "include_usage": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {}},
        {"plugins": [{"id": "web"}]},
        {"chat_template": "{% for _ in range(99999) %}a{% endfor %}"},
        {"tools": [{"type": "function"}, {"type": "browser_search"}]},
        {"tools": "all"},
    ],
)
def test_what_an_upstream_fills_in_may_be_as_large_as_the_context(fields: dict[str, Any]) -> None:
    assert hold(max_tokens=1, **fields) >= 100_000 * 3
    assert hold(max_tokens=1, tools=[{"type": "function", "function": {"name": "f"}}]) < 1_000


def test_a_query_counts_with_each_document_that_is_ranked() -> None:
    rerank = FORWARDED["/rerank"]
    counted = asked(rerank, query="q" * 1_000, documents=["d" * 400] * 100).counted
    # 1,404 bytes with all quotes: three parts each, as if a token were a byte.
    assert (counted.usage, counted.ours) == ({"search_units": 3}, {"search_units": 1})


@pytest.mark.parametrize(
    "content",
    [
        b'[{"type": "file", "file": {"file_id": "file-1"}}]',
        b'{"type": "file", "file": {"file_id": "file-1"}}',
        b'[{"type": "file", "file": {"fil\\u0065_id": "file-1"}}]',
        b'["a", {"type": "file", "file": {"file_id": "file-1"}}]',
    ],
)
def test_a_file_of_anybody_s_is_not_named_by_its_id(content: bytes) -> None:
    with pytest.raises(ApiError):
        read(b'{"model": "m", "messages": [{"role": "user", "content": ' + content + b"}]}", CHAT)


def test_a_chat_about_file_ids_is_a_chat() -> None:
    content = "what is a file_id, in Zürich?"
    body = b'{"model": "m", "messages": [{"role": "user", "content": %s}]}' % json.dumps(content).encode()
    assert read(body, CHAT).text_bytes() == len(content.encode())


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
