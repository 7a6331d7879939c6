"""What is counted. Meters are disjoint: a cached input token is not also an input token."""

# Of one meter, in one request, charged or not: a hundred times what the longest context windows hold.
MOST_UNITS = 10**9

METERS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "images",
    "seconds",
    "characters",
    "search_units",
    "requests",
)

LABELS = {
    "input_tokens": "Input tokens",
    "cached_input_tokens": "Cached input tokens",
    "cache_write_tokens": "Cache write tokens",
    "input_audio_tokens": "Audio input tokens",
    "input_image_tokens": "Image input tokens",
    "output_tokens": "Output tokens",
    "reasoning_tokens": "Reasoning tokens",
    "output_audio_tokens": "Audio output tokens",
    "output_image_tokens": "Image output tokens",
    "images": "Images",
    "seconds": "Seconds",
    "characters": "Characters",
    "search_units": "Search units",
    "requests": "Requests",
}

# Events don't keep the zeros that were counted; and what counts nothing at all can't be rated.
ZEROS = dict.fromkeys(METERS, 0)

# A price list that doesn't name the finer meter charges it as the coarser one.
FALLBACK = {
    "cached_input_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "input_audio_tokens": "input_tokens",
    "input_image_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
}

# Counted for everyone, charged only where a price names it.
FREE_UNLESS_PRICED = frozenset({"requests"})

INPUT_METERS = tuple(meter for meter in METERS[:5])
OUTPUT_METERS = tuple(meter for meter in METERS[5:9])


def tokens(usage: dict[str, int]) -> int:
    """Tokens of every kind, as limits of tokens count them."""
    return sum(units for meter, units in usage.items() if meter.endswith("_tokens"))
