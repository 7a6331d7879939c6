"""What upstreams report, as disjoint meters: the one place that knows how the totals and their details are meant. Pure.

OpenAI's convention: details are parts of the totals, so a cached token is in `prompt_tokens` too. Anthropic's: the
count of the input leaves out what the cache read and wrote. Reading one as the other charges the cache twice or never.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING
from typing import Any

from billing.meters import MOST_UNITS
from billing.reported import bounded

# `catalog.models.CONVENTIONS` names them for people.
OPENAI, ANTHROPIC = "openai", "anthropic"
CONVENTIONS = {OPENAI, ANTHROPIC}

# Endpoints, as the usage log names them, whose answers write no tokens: a report may leave the output out.
WITHOUT_OUTPUT = frozenset({"embeddings", "rerank", "moderations", "audio.speech"})
# What they write is pictures: tokens of which nobody says what they are.
PICTURES = frozenset({"images.generations", "images.edits", "images.variations"})

# meter → where it stands: in the details, or beside the totals.
_CACHE_PARTS = {
    "cached_input_tokens": ("cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
}
_INPUT_PARTS = {"input_audio_tokens": ("audio_tokens",), "input_image_tokens": ("image_tokens",)}
_OUTPUT_PARTS = {
    "reasoning_tokens": ("reasoning_tokens",),
    "output_audio_tokens": ("audio_tokens",),
    "output_image_tokens": ("image_tokens",),
}


def meters(usage: Any, *, endpoint: str = "chat.completions", convention: str = OPENAI) -> dict[str, int] | None:
    """Meters of an upstream's `usage` object, whichever endpoint it is of.

    None where it is missing or makes no sense: missing is not zero. An explicit zero is a report.
    """
    if not isinstance(usage, Mapping):
        return None
    counted = _by_time(usage) or _by_search(usage) or _by_tokens(usage, endpoint, convention)
    return None if counted is None else {"requests": 1, **counted}


def usage_of(answer: Any) -> Any:
    """The `usage` of an answer, of a chunk, or of any last event of a `responses` stream: incomplete and failed too."""
    if not isinstance(answer, Mapping):
        return None
    inner = answer.get("response")
    if isinstance(inner, Mapping) and "usage" in inner:
        return inner["usage"]
    return answer.get("usage") or answer.get("meta")


def count(value: Any) -> int | None:
    """A whole, plausible number of units; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_UNITS:
        return None
    return value


def whole_seconds(value: Any) -> int | None:
    """Seconds of audio, a begun one counting as a whole."""
    seconds = bounded(value)
    return None if seconds is None else count(int(seconds.to_integral_value(ROUND_CEILING)))


def _by_time(usage: Mapping[str, Any]) -> dict[str, int] | None:
    """`{"type": "duration", "seconds": 3.4}`: transcriptions by length."""
    if "seconds" not in usage or "input_tokens" in usage:
        return None
    seconds = whole_seconds(usage["seconds"])
    return None if seconds is None else {"seconds": seconds}


def _by_search(usage: Mapping[str, Any]) -> dict[str, int] | None:
    """`{"billed_units": {"search_units": 1}}`, as rerank reports; or the units alone."""
    billed = usage.get("billed_units")
    units = count((billed if isinstance(billed, Mapping) else usage).get("search_units"))
    return None if units is None else {"search_units": units}


def _by_tokens(usage: Mapping[str, Any], endpoint: str, convention: str) -> dict[str, int] | None:
    absent = 0 if endpoint in WITHOUT_OUTPUT else None
    total_in = count(_first(usage, "prompt_tokens", "input_tokens"))
    total_out = count(_first(usage, "completion_tokens", "output_tokens", absent=absent))
    if total_in is None or total_out is None:
        return None
    details = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    counted: dict[str, int] = {}
    if convention == ANTHROPIC:
        # Beside the total, not in it.
        counted |= {meter: units for meter, names in _CACHE_PARTS.items() if (units := _part(details, usage, names))}
        counted |= _split(total_in, details, usage, "input_tokens", _INPUT_PARTS)
    else:
        counted |= _split(total_in, details, usage, "input_tokens", {**_CACHE_PARTS, **_INPUT_PARTS})
    details = _details(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    if endpoint in PICTURES and not details:
        return {**counted, "output_image_tokens": total_out}
    return counted | _split(total_out, details, {}, "output_tokens", _OUTPUT_PARTS)


def _split(
    total: int, details: Mapping[str, Any], usage: Mapping[str, Any], rest: str, parts: Mapping[str, tuple[str, ...]]
) -> dict[str, int]:
    """A part is never more than what is left of the total, so that the rest can't be negative."""
    counted: dict[str, int] = {}
    for meter, names in parts.items():
        if units := min(_part(details, usage, names), total):
            counted[meter] = units
            total -= units
    counted[rest] = total
    return counted


def _part(details: Mapping[str, Any], usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """Said in the details and beside the totals, it is the same part: it counts once."""
    return count(_first(details, *names)) or count(_first(usage, *names[1:])) or 0


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = _first(usage, *names)
    return found if isinstance(found, Mapping) else {}


def _first(values: Mapping[str, Any], *names: str, absent: Any = None) -> Any:
    """The first of these that is there, null or not: a null is a report that makes no sense."""
    return next((values[name] for name in names if name in values), absent)
