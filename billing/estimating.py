"""What we count where an upstream reports nothing. Pure and deterministic; marked as estimated wherever it is shown."""

import re
from collections.abc import Mapping
from typing import Any

# Stored with each estimated event: version 2 is bytes over four, rounded up. Input is counted as the JSON that was sent
# (without embedded files), output as the UTF-8 of what was produced, where an embedded picture is so many tokens
# (version 1 took its base64 for text).
ESTIMATOR_VERSION = 2
BYTES_PER_TOKEN = 4
TOKENS_PER_PICTURE = 1_290
_EMBEDDED = re.compile(rb'"data:[^"]*"')
_PICTURE = re.compile(r"data:image/[A-Za-z0-9.+-]{1,40};base64,[A-Za-z0-9+/=_-]*")
_LABELS = frozenset(
    {"role", "id", "type", "finish_reason", "object", "logprobs", "status", "call_id", "encrypted_content"}
)


def estimated(input_bytes: int, output_bytes: int, *, most_output: int) -> dict[str, int]:
    """Our count over bytes: never more than was allowed."""
    output = min(tokens(output_bytes), most_output)
    return {"requests": 1, "input_tokens": tokens(input_bytes), "output_tokens": output}


def tokens(size: int) -> int:
    """Tokens of that many bytes of text."""
    return -(-size // BYTES_PER_TOKEN)


def input_bytes(raw: bytes) -> int:
    """Bytes of a member of the request, as it was sent, without files embedded as data URLs."""
    return len(raw) - sum(len(match[0]) for match in _EMBEDDED.finditer(raw))


def output_bytes(answer: Mapping[str, Any]) -> int:
    """UTF-8 bytes that an answer, or one chunk of a stream, produced: every text of it but roles and ids."""
    choices = answer.get("choices")
    if isinstance(choices, list):
        return _texts(choices)
    # A response, or an event of one's stream.
    output, delta = answer.get("output"), answer.get("delta")
    if isinstance(output, list):
        return _texts(output)
    return len(delta.encode("utf-8", "replace")) if isinstance(delta, str) else 0


def _texts(choices: list[Any]) -> int:
    """Without recursion: an answer may be nested as deep as its sender likes."""
    size = 0
    left: list[Any] = [choices]
    while left:
        value = left.pop()
        if isinstance(value, str):
            size += _bytes_of(value)
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += [inner for name, inner in value.items() if name not in _LABELS]
    return size


def _bytes_of(text: str) -> int:
    pictures = 0
    if ";base64," in text:
        text, pictures = _PICTURE.subn("", text)
    return len(text.encode("utf-8", "replace")) + pictures * TOKENS_PER_PICTURE * BYTES_PER_TOKEN
