"""What upstreams report, and what we count where they report nothing, as disjoint meters.

OpenAI's convention: details are parts of the totals.
"""

import re
from collections.abc import Mapping
from typing import Any

# Stored with each estimated event: version 1 is bytes over four, rounded up. Input is counted as the JSON that was sent
# (without embedded files), output as the UTF-8 of what was produced.
ESTIMATOR_VERSION = 1
BYTES_PER_TOKEN = 4
_EMBEDDED = re.compile(rb'"data:[^"]*"')

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


def estimated(input_bytes: int, output_bytes: int, *, most_output: int) -> dict[str, int]:
    """Our count over bytes: deterministic, marked as estimated wherever it is shown, never more than was allowed."""
    output = min(tokens(output_bytes), most_output)
    return {"requests": 1, "input_tokens": tokens(input_bytes), "output_tokens": output}


def tokens(size: int) -> int:
    """Tokens of that many bytes of text."""
    return -(-size // BYTES_PER_TOKEN)


def input_bytes(raw: bytes) -> int:
    """Bytes of a member of the request, as it was sent, without files embedded as data URLs."""
    return len(raw) - sum(len(match[0]) for match in _EMBEDDED.finditer(raw))


def output_bytes(answer: Mapping[str, Any]) -> int:
    """UTF-8 bytes that an answer, or one chunk of a stream, produced: every text of its choices but roles and ids."""
    choices = answer.get("choices")
    return sum(_texts(choice) for choice in choices) if isinstance(choices, list) else 0


_LABELS = frozenset({"role", "id", "type", "finish_reason", "object", "logprobs"})


def _texts(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list):
        return sum(_texts(item) for item in value)
    if isinstance(value, Mapping):
        return sum(_texts(item) for name, item in value.items() if name not in _LABELS)
    return 0
