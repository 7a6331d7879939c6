"""What a request used: as the upstream reported it, else by our own count."""

from typing import TYPE_CHECKING

from billing import estimating
from billing.rating import priced_part
from billing.tariff import Tariff
from gateway.asking import drawing
from gateway.asking.asked import Asked
from gateway.asking.endpoints import CHAT, Endpoint
from gateway.offering.offer import OfferedModel

if TYPE_CHECKING:
    from gateway.proxying.progress import Progress

Used = tuple[dict[str, int], bool]
"""Meters, and whether they are our own count."""


def used(asked: Asked, endpoint: Endpoint, model: OfferedModel, tariff: Tariff, progress: "Progress") -> Used:
    """Nothing where the upstream never answered."""
    if progress.first_byte_at is None:
        return {"requests": 1}, False
    if endpoint is CHAT:
        tokens, estimated = _tokens(asked, endpoint, model, progress)
        counted = drawing.charged(tokens, progress.pictures, asked, tariff)
        return counted, estimated and any(meter.endswith("_tokens") for meter in counted)
    if asked.counted.usage:
        return _counted(asked, tariff, progress)
    return _tokens(asked, endpoint, model, progress)


def _counted(asked: Asked, tariff: Tariff, progress: "Progress") -> Used:
    """What was counted, and what was reported of the same work: whichever has a price; all of it where none has."""
    counted, reported = asked.counted, progress.reported or {}
    units = dict(counted.usage if counted.ours is None else counted.ours)
    if "images" in units:
        units["images"] = min(units["images"], progress.pictures)
    usage = {"requests": 1, **units, **reported}
    priced = priced_part(usage, tariff, counted.variant)
    found = {"requests": 1, **priced} if priced else usage
    return found, counted.ours is not None and bool(found.keys() & units.keys() - reported.keys())


def _tokens(asked: Asked, endpoint: Endpoint, model: OfferedModel, progress: "Progress") -> Used:
    if progress.reported is not None:
        return progress.reported, False
    most = asked.output_limit(model) if endpoint.has_output else 0
    return estimating.estimated(asked.input_bytes(), progress.output_bytes, most_output=most), True
