"""Reported usage becomes disjoint meters; nonsense is no report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering import estimated, input_bytes, output_bytes, reported

counts = st.integers(0, 10**6)


def test_details_are_taken_out_of_the_totals() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    assert reported(usage) == {
        "requests": 1,
        "input_tokens": 65,
        "cached_input_tokens": 30,
        "input_audio_tokens": 5,
        "output_tokens": 30,
        "reasoning_tokens": 20,
    }


@given(counts, counts, counts, counts)
def test_meters_add_up_to_the_totals_whatever_the_details_say(prompt: int, cached: int, audio: int, out: int) -> None:
    details = {"cached_tokens": cached, "audio_tokens": audio}
    meters = reported({"prompt_tokens": prompt, "completion_tokens": out, "prompt_tokens_details": details})
    assert meters
    assert all(units >= 0 for units in meters.values())
    assert sum(meters.values()) == prompt + out + 1


@pytest.mark.parametrize(
    "usage", [None, [], "12", {}, {"prompt_tokens": -1}, {"prompt_tokens": 1.5}, {"prompt_tokens": True}]
)
def test_nonsense_is_no_report(usage: Any) -> None:
    assert reported(usage) is None


def test_an_explicit_zero_is_a_report() -> None:
    assert reported({"prompt_tokens": 0, "completion_tokens": 0}) is not None


def test_our_own_count_is_bytes_over_four_rounded_up() -> None:
    assert estimated(9, 5, most_output=100) == {"requests": 1, "input_tokens": 3, "output_tokens": 2}


def test_our_own_count_is_never_more_than_was_allowed() -> None:
    assert estimated(0, 1000, most_output=7)["output_tokens"] == 7


def test_embedded_files_are_not_counted_as_text() -> None:
    raw = b'[{"image_url":{"url":"data:image/png;base64,' + b"A" * 100_000 + b'"}}]'
    assert input_bytes(raw) == len(b'[{"image_url":{"url":}}]')


def test_tool_calls_are_output() -> None:
    call = {"function": {"name": "ab", "arguments": "{}"}}
    assert output_bytes({"choices": [{"delta": {"role": "assistant", "tool_calls": [{"id": "x", **call}]}}]}) == 4
    assert output_bytes({"choices": [{"delta": {"reasoning": "abc", "function_call": {"arguments": "{}"}}}]}) == 5
