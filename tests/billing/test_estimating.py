"""Our own count: over bytes, deterministic, never more than was allowed."""

from billing.estimating import estimated, input_bytes, output_bytes


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
