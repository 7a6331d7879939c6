"""How a hold ends: the exact charge takes its place, once the request's line is in the usage log; or it is released."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import structlog

from billing.rate_card import Priced
from billing.rating import UnpricedError, outcome_charge
from gateway import metrics
from gateway.http.request_ids import milliseconds_of
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)


def charge_of(
    outcome: str, usage: Mapping[str, int], priced: Priced, *, estimated: bool, variant: str = ""
) -> int | None:
    """Nano-dollars. None where it has no price, or no amount holds it: the worker quarantines the line for a person."""
    try:
        nanos, _ = outcome_charge(
            outcome, usage, priced.tariff, estimated=estimated, multipliers=priced.multipliers, variant=variant
        )
    except (UnpricedError, OverflowError):
        return None
    return nanos


async def settle(hotstate: HotState, org: str, key: str, request_id: UUID, nanos: int, *, taken: int) -> bool:
    """Turn the hold into the charge, nano-dollars, and the tokens estimated into those taken. False: not done.

    Where Valkey is away, the hold goes when the line is posted.
    """
    elapsed_ms = _elapsed_ms(request_id)
    try:
        settled = await hotstate.settle(org, key, str(request_id), nanos, taken=taken, elapsed_ms=elapsed_ms)
    except Unreachable:
        log.warning("hold not settled; it goes when the line is posted", request=str(request_id))
        return False
    metrics.holds.labels("settled").inc(int(settled))
    return settled


async def release(hotstate: HotState, org: str, key: str, request_id: UUID) -> bool:
    """Take the hold away, and give back the tokens estimated. False: there was none. Raises Unreachable."""
    elapsed_ms = _elapsed_ms(request_id)
    released = await hotstate.release(org, key, str(request_id), elapsed_ms=elapsed_ms)
    metrics.holds.labels("released").inc(int(released))
    return released


def _elapsed_ms(request_id: UUID) -> int:
    return int(datetime.now(UTC).timestamp() * 1000) - milliseconds_of(request_id)
