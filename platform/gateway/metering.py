"""What a request used: what the upstream reported, else our own count."""

from typing import TYPE_CHECKING

from billing import estimating
from billing.rating import priced_part

if TYPE_CHECKING:
    from gateway.running import Running


def used(running: "Running") -> tuple[dict[str, int], bool]:
    """(meters, whether they are our own count). Nothing where the upstream never answered."""
    asked, progress = running.asked, running.progress
    if progress.first_byte_at is None:
        return {"requests": 1}, False
    if asked.counted.usage:
        return _counted(running)
    if progress.reported is not None:
        return progress.reported, False
    most = asked.output_limit(running.model) if running.endpoint.has_output else 0
    return estimating.estimated(asked.input_bytes(), progress.output_bytes, most_output=most), True


def _counted(running: "Running") -> tuple[dict[str, int], bool]:
    """What was counted, and what was reported of the same work: whichever has a price; all of it where none has."""
    counted, reported = running.asked.counted, running.progress.reported or {}
    units = dict(counted.usage if counted.ours is None else counted.ours)
    if "images" in units:
        units["images"] = min(units["images"], running.progress.pictures)
    usage = {"requests": 1, **units, **reported}
    priced = priced_part(usage, running.priced.tariff, counted.variant)
    used = {"requests": 1, **priced} if priced else usage
    return used, counted.ours is not None and bool(used.keys() & units.keys() - reported.keys())
