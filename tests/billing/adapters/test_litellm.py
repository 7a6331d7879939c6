"""LiteLLM's StandardLoggingPayload as usage: disjoint meters, its zeros, its failures, its digests of secrets."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from billing.adapters import again
from billing.lines import parse
from tests.billing.adapters.records import (
    KEYMETER_ID,
    SECRET_WORDS,
    STARTED,
    complaint,
    converted,
    line,
    litellm,
    with_usage,
)


def test_counts_become_disjoint_meters() -> None:
    found = line("litellm", litellm())
    assert found.usage == {
        "requests": 1,
        "input_tokens": 5,
        "cached_input_tokens": 15,
        "output_tokens": 6,
        "reasoning_tokens": 4,
    }
    assert (found.model, found.endpoint, found.stream, found.ttft_ms) == (
        "demo-chat",
        "chat.completions",
        True,
        250,
    )
    assert (found.ended, found.estimated, found.upstream_request_id) == (
        STARTED + timedelta(seconds=2.5),
        False,
        "chatcmpl-1",
    )


def test_a_record_in_its_callbacks_wrapping_is_the_same() -> None:
    assert line("litellm", {"standard_logging_object": litellm()}) == line("litellm", litellm())


@pytest.mark.parametrize(
    ("call_type", "usage", "fields", "endpoint", "meters"),
    [
        ("aembedding", {"prompt_tokens": 4, "total_tokens": 4}, {}, "embeddings", {"input_tokens": 4}),
        (
            "aresponses",
            {"input_tokens": 4, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}},
            {},
            "responses",
            {"input_tokens": 4, "output_tokens": 1, "reasoning_tokens": 1},
        ),
        (
            "anthropic_messages",
            {"input_tokens": 4, "cache_read_input_tokens": 100, "output_tokens": 2},
            {},
            "messages",
            {"input_tokens": 4, "cached_input_tokens": 100, "output_tokens": 2},
        ),
        ("aimage_generation", None, {"response": {"data": [{}, {}]}}, "images.generations", {"images": 2}),
        (
            "image_generation",
            {"input_tokens": 4, "output_tokens": 1000},
            {},
            "images.generations",
            {"input_tokens": 4, "output_image_tokens": 1000},
        ),
        ("atranscription", {"type": "duration", "seconds": 3.2}, {}, "audio.transcriptions", {"seconds": 4}),
        ("aspeech", None, {"messages": "hello"}, "audio.speech", {"characters": 5}),
        (
            "arerank",
            {"prompt_tokens": 0, "completion_tokens": 0},
            {"response": {"meta": {"billed_units": {"search_units": 3}}}},
            "rerank",
            {"search_units": 3},
        ),
        ("amoderation", None, {}, "moderations", {}),
    ],
)
def test_every_endpoint_is_counted_in_its_meters(
    call_type: str, usage: Any, fields: Any, endpoint: str, meters: dict[str, int]
) -> None:
    bare = {"prompt_tokens": 0, "completion_tokens": 0}
    found = line("litellm", with_usage(usage, call_type=call_type, **{**bare, **fields}))
    counted = {meter: units for meter, units in found.usage.items() if units and meter != "requests"}
    assert (found.endpoint, counted) == (endpoint, meters)


def test_what_is_missing_is_counted_by_us_and_marked() -> None:
    found = line("litellm", with_usage(None, prompt_tokens=0, completion_tokens=0))
    assert (found.estimated, found.estimator) == (True, 2)
    asked = len(msgspec.json.encode([{"role": "user", "content": SECRET_WORDS}]))
    assert found.usage == {"requests": 1, "input_tokens": -(-asked // 4), "output_tokens": 3}


def test_its_zeros_are_what_nobody_reported() -> None:
    found = line("litellm", with_usage({"prompt_tokens": 0, "completion_tokens": 0}))
    assert (found.estimated, found.usage["output_tokens"]) == (True, 3)
    assert not line("litellm", with_usage({"prompt_tokens": 1, "completion_tokens": 0})).estimated


@pytest.mark.parametrize("messages", [None, [{"role": "user", "content": "redacted-by-litellm"}]])
def test_what_is_missing_and_can_not_be_counted_waits(messages: Any) -> None:
    record = with_usage(None, prompt_tokens=0, completion_tokens=0, messages=messages)
    assert "nothing to count" in complaint("litellm", record)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("400", "refused"), ("429", "upstream_error"), ("500", "upstream_error"), ("", "upstream_error")],
)
def test_a_failure_is_told_and_takes_no_successs_place(code: str, outcome: str) -> None:
    record = litellm(status="failure", error_information={"error_code": code})
    record["metadata"]["user_api_key_auth_metadata"]["keymeter_request_id"] = KEYMETER_ID
    found = line("litellm", record)
    assert (found.outcome, found.usage) == (outcome, {"requests": 1})
    assert found.id not in (UUID(KEYMETER_ID), line("litellm", litellm()).id)


def test_a_refused_key_is_no_usage() -> None:
    assert converted("litellm", litellm(status="failure", error_information={"error_code": "401"}, model_id="")) is None


def test_its_digest_of_a_secret_finds_the_key() -> None:
    digest = hashlib.sha256(b"sk-customer").hexdigest()
    record = litellm(
        metadata={**litellm()["metadata"], "user_api_key_auth_metadata": None, "user_api_key_hash": digest}
    )
    assert line("litellm", record, find_key={digest: "key_B"}.get).key == "key_B"
    raw = converted("litellm", record)
    assert raw
    assert "import it" in complaint("litellm", record)
    # Replayed once the key is known, it is read again.
    assert parse(again(raw, "edge-1", {digest: "key_B"}.get)).key == "key_B"


def test_a_type_of_call_that_nobody_sells_waits() -> None:
    assert "create_batch" in complaint("litellm", litellm(call_type="create_batch"))
