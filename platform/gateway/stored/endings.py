"""What an upstream says of something that takes its time: that it is still being made, or how it ended. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from billing import conventions, estimating
from gateway.asking.endpoints import RESPONSES

UNFINISHED = {"queued", "in_progress"}
# Of a response and of a video; a cancelled one is paid as far as it came.
OUTCOMES = {
    "completed": "completed",
    "incomplete": "completed",
    "failed": "upstream_error",
    "cancelled": "client_disconnected",
}


class Ending(msgspec.Struct, frozen=True):
    """The usage log's word for it, the meters, and whether they are our own count."""

    outcome: str
    usage: dict[str, int]
    estimated: bool = False


# It never said how it ended, or isn't there any more.
NEVER = Ending("timeout", {"requests": 1})
LOST = Ending("upstream_error", {"requests": 1})


class Sizes(msgspec.Struct, frozen=True):
    """What our own count is made of."""

    input_bytes: int
    most_output: int
    units: dict[str, int]


def ending_of(kind: str, answer: Mapping[str, Any], sizes: Sizes, convention: str) -> Ending | None:
    """How it ended; None where it hasn't, or nobody knows the word."""
    outcome = OUTCOMES.get(str(answer.get("status")))
    if outcome is None:
        return None
    if kind != RESPONSES.name:
        return Ending(outcome, {"requests": 1, **units_made(answer, sizes.units)})
    reported = conventions.meters(answer.get("usage"), endpoint=kind, convention=convention)
    if reported is not None:
        return Ending(outcome, reported)
    if outcome == "upstream_error":
        return Ending(outcome, {"requests": 1})
    ours = estimating.estimated(sizes.input_bytes, estimating.output_bytes(answer), most_output=sizes.most_output)
    return Ending(outcome, ours, estimated=True)


def units_made(answer: Mapping[str, Any], asked: Mapping[str, int]) -> dict[str, int]:
    """Of what was asked for, never more; where the answer doesn't say, all of it."""
    made = conventions.whole_seconds(answer.get("seconds"))
    return {meter: min(units, made) if made else units for meter, units in asked.items()}
