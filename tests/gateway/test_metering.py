"""Reported usage becomes disjoint meters; nonsense is no report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering import estimated, output_bytes, reported, text_bytes

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
    assert estimated(9, 0) == {"requests": 1, "input_tokens": 3, "output_tokens": 0}


def test_text_is_found_in_messages_parts_and_lists() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "héé"}, {"type": "image_url", "image_url": {}}]}]
    assert text_bytes(messages) == 5
    assert text_bytes(["ab", "c"]) == 3


def test_tool_calls_are_output() -> None:
    call = {"function": {"name": "ab", "arguments": "{}"}}
    assert output_bytes({"choices": [{"delta": {"tool_calls": [call]}}]}) == 4
