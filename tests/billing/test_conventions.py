"""Reported usage becomes disjoint meters, as its upstream means it; nonsense is no report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.conventions import ANTHROPIC, CONVENTIONS, OPENAI, meters, usage_of, whole_seconds
from billing.rating import outcome_charge
from billing.tariff import Tariff

counts = st.integers(0, 10**6)


def test_details_are_taken_out_of_the_totals() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    assert meters(usage) == {
        "requests": 1,
        "input_tokens": 65,
        "cached_input_tokens": 30,
        "input_audio_tokens": 5,
        "output_tokens": 30,
        "reasoning_tokens": 20,
    }


@pytest.mark.parametrize("convention", [OPENAI, ANTHROPIC])
@given(counts, counts, counts, counts)
def test_meters_add_up_to_what_was_reported(convention: str, prompt: int, cached: int, audio: int, out: int) -> None:
    """new-api 3110, LiteLLM 9812, Aider 5516: cached tokens charged twice, or making the input negative."""
    details = {"cached_tokens": cached, "audio_tokens": audio}
    usage = {"prompt_tokens": prompt, "completion_tokens": out, "prompt_tokens_details": details}
    found = meters(usage, convention=convention)
    assert found
    assert all(units >= 0 for units in found.values())
    assert sum(found.values()) == 1 + prompt + out + (cached if convention == ANTHROPIC else 0)


def test_anthropics_input_leaves_the_cache_out() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 900,
        "cache_creation_input_tokens": 50,
        "output_tokens": 7,
    }
    expected = {"requests": 1, "cached_input_tokens": 900, "cache_write_tokens": 50, "output_tokens": 7}
    assert meters(usage, convention=ANTHROPIC) == {**expected, "input_tokens": 10}
    assert meters({**usage, "input_tokens": 960}, convention=OPENAI) == {**expected, "input_tokens": 10}


def test_what_is_said_twice_counts_once() -> None:
    """As LiteLLM reports Anthropic's cache: in the details and beside the totals."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": None},
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
    }
    found = meters(usage)
    assert found and (found["input_tokens"], found["cached_input_tokens"], found["cache_write_tokens"]) == (10, 60, 30)


def test_there_is_a_reading_of_every_convention() -> None:
    from catalog import models

    assert set(models.CONVENTIONS) == {OPENAI, ANTHROPIC} == CONVENTIONS


@pytest.mark.parametrize(
    ("endpoint", "usage", "expected"),
    [
        (
            "responses",
            {
                "input_tokens": 9,
                "output_tokens": 8,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            {"input_tokens": 5, "cached_input_tokens": 4, "output_tokens": 5, "reasoning_tokens": 3},
        ),
        ("embeddings", {"prompt_tokens": 4, "total_tokens": 4}, {"input_tokens": 4, "output_tokens": 0}),
        (
            "images.generations",
            {
                "input_tokens": 10,
                "output_tokens": 1000,
                "input_tokens_details": {"text_tokens": 8, "image_tokens": 2},
            },
            {"input_tokens": 8, "input_image_tokens": 2, "output_image_tokens": 1000},
        ),
        ("audio.transcriptions", {"type": "duration", "seconds": 3.2}, {"seconds": 4}),
        (
            "audio.transcriptions",
            {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "input_token_details": {"audio_tokens": 14}},
            {"input_tokens": 0, "input_audio_tokens": 14, "output_tokens": 5},
        ),
        ("rerank", {"billed_units": {"search_units": 2}}, {"search_units": 2}),
    ],
)
def test_every_endpoints_report_is_read(endpoint: str, usage: Any, expected: dict[str, int]) -> None:
    assert meters(usage, endpoint=endpoint) == {"requests": 1, **expected}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "12",
        {},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**13, "completion_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"prompt_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": None},
        {"seconds": "nan"},
        {"seconds": -1},
    ],
)
def test_nonsense_is_no_report(usage: Any) -> None:
    assert meters(usage) is None


def test_an_explicit_zero_is_a_report() -> None:
    """LiteLLM 37992: an explicit zero was replaced by an estimate."""
    found = meters({"prompt_tokens": 0, "completion_tokens": 0})
    assert found == {"requests": 1, "input_tokens": 0, "output_tokens": 0}
    tariff = Tariff(version=1, prices={"input_tokens": (1, 1), "output_tokens": (1, 1)})
    assert outcome_charge("completed", found, tariff, estimated=False) == (0, "as_reported")


@pytest.mark.parametrize("type_", ["response.completed", "response.incomplete", "response.failed"])
def test_any_last_event_of_a_response_reports(type_: str) -> None:
    """new-api 7241: `response.incomplete` was billed zero."""
    told = {"type": type_, "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}}
    assert meters(usage_of(told), endpoint="responses") == {"requests": 1, "input_tokens": 3, "output_tokens": 2}


@pytest.mark.parametrize(
    ("value", "seconds"), [(0, 0), (0.01, 1), (60, 60), ("61.0", 61), (None, None), ("1e99", None)]
)
def test_a_begun_second_counts_as_a_whole(value: Any, seconds: int | None) -> None:
    assert whole_seconds(value) == seconds
