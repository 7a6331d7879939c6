"""Money set aside for a posting that isn't a request's, as holds are: no request can have it meanwhile."""

import time
from datetime import datetime
from typing import Any
from uuid import UUID

import redis
import structlog

from hotstate import eras, loading, names, publish, scripts
from hotstate.client import reaching_valkey
from hotstate.errors import LostError, Unreachable
from hotstate.records import BalanceRecord, OrganizationRecord

log = structlog.get_logger(__name__)

# Longer than a posting takes; a process that is killed in between keeps the money from requests for so long.
LEASE_MS = 60_000
# A balance that was committed is in Valkey a moment later, unless its delivery failed.
TRIES, PAUSE_SECONDS = 100, 0.01
SET_ASIDE, NOT_ENOUGH, MISSING, BEHIND = 1, 0, -1, -2


class BehindError(Unreachable):
    """Valkey isn't told of a committed balance yet: deliver the outbox, and ask again."""


def set_aside(
    organization: OrganizationRecord, balance: BalanceRecord, identity: UUID, nanos: int, *, now: datetime
) -> bool:
    """Set nano-dollars aside, if what running requests hold leaves so much. Post with `identity` among the settled.

    The records are PostgreSQL's, and the caller holds the balance's lock. Raises Unreachable, and BehindError.
    """
    until = int(now.timestamp() * 1000) + LEASE_MS
    keys = names.decision_keys(organization.org)
    with reaching_valkey() as valkey:
        era = _era(valkey)
        # Before the money: a process that is killed in between leaves no lease that nobody looks at.
        valkey.sadd(names.HOLDING, organization.org)
        arguments: tuple[Any, ...] = (str(identity), publish.clamp_hold(nanos), until, era, balance.version)
        for _ in range(TRIES):
            answer: Any = valkey.eval(scripts.SET_ASIDE, len(keys), *keys, *arguments)
            if answer not in (MISSING, BEHIND):
                break
            if answer == MISSING:
                loading.load(valkey, [organization, balance], era)
            time.sleep(PAUSE_SECONDS)
    if answer == MISSING:
        raise LostError("Valkey has lost its state")
    if answer == BEHIND:
        raise BehindError("Valkey isn't told of the last change of this balance yet")
    return bool(answer == SET_ASIDE)


def give_back(org: str, identity: UUID) -> None:
    """What was set aside isn't posted after all. Where Valkey can't be reached, the end of the lease does it."""
    try:
        with reaching_valkey() as valkey:
            # Version 0 changes no balance.
            publish.put(valkey, BalanceRecord(org=org, version=0, nanos=0, posted=(str(identity),)))
    except Unreachable as error:
        log.warning("left to its lease", org=org, aside=str(identity), error=str(error))


def _era(valkey: redis.Redis) -> str:
    era = eras.read(valkey)
    if era is None or not era.serving or era.run != eras.run_of(valkey):
        raise LostError("Valkey's state isn't recovered yet")
    return era.id
