"""What upstreams report, and what we count where they report nothing, as disjoint meters.

OpenAI's convention: details are parts of the totals.
"""

from collections.abc import Mapping
from typing import Any

# Stored with each estimated event by its number: the count of UTF-8 bytes over four, rounded up.
ESTIMATOR_VERSION = 1
BYTES_PER_TOKEN = 4

_INPUT_PARTS = {
    "cached_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_tokens": "input_audio_tokens",
    "image_tokens": "input_image_tokens",
}
_OUTPUT_PARTS = {"reasoning_tokens": "reasoning_tokens", "audio_tokens": "output_audio_tokens"}


def reported(usage: Any) -> dict[str, int] | None:
    """Meters of an upstream's `usage` object. None where it is missing or makes no sense: missing is not zero."""
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens", 0))
    if prompt is None or completion is None:
        return None
    return {
        "requests": 1,
        **_split(prompt, usage.get("prompt_tokens_details"), "input_tokens", _INPUT_PARTS),
        **_split(completion, usage.get("completion_tokens_details"), "output_tokens", _OUTPUT_PARTS),
    }


def _split(total: int, details: Any, rest: str, parts: dict[str, str]) -> dict[str, int]:
    """A part is never more than what is left of the total, so that the rest can't be negative."""
    meters: dict[str, int] = {}
    if isinstance(details, Mapping):
        for name, meter in parts.items():
            if units := min(_count(details.get(name)) or 0, total):
                meters[meter] = units
                total -= units
    meters[rest] = total
    return meters


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**12:
        return None
    return value


def estimated(input_bytes: int, output_bytes: int) -> dict[str, int]:
    """Our count over bytes of text: deterministic, and marked as estimated wherever it is shown."""
    return {"requests": 1, "input_tokens": tokens(input_bytes), "output_tokens": tokens(output_bytes)}


def tokens(size: int) -> int:
    """Tokens of that many bytes of text."""
    return -(-size // BYTES_PER_TOKEN)


def text_bytes(value: Any) -> int:
    """UTF-8 bytes of the text in a request's `messages`, `prompt` or `input`."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list):
        return sum(text_bytes(item) for item in value)
    if isinstance(value, Mapping):
        return text_bytes(value.get("content")) + text_bytes(value.get("text"))
    if isinstance(value, int):
        # A prompt may be given as tokens.
        return BYTES_PER_TOKEN
    return 0


def output_bytes(answer: Mapping[str, Any]) -> int:
    """UTF-8 bytes that an answer, or one chunk of a stream, produced: text, reasoning and tool calls."""
    size = 0
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping):
            size += text_bytes(choice.get("text"))
            for part in (choice.get("delta"), choice.get("message")):
                if isinstance(part, Mapping):
                    size += sum(text_bytes(part.get(name)) for name in ("content", "reasoning_content", "refusal"))
                    size += _tool_bytes(part.get("tool_calls"))
    return size


def _tool_bytes(calls: Any) -> int:
    size = 0
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            size += text_bytes(function.get("name")) + text_bytes(function.get("arguments"))
    return size
