"""Holds from outside of decisions: those whose lease ran out, those told again after a loss, those that are posted."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import redis
import structlog

from hotstate import names, publish, scripts
from hotstate.client import reaching_valkey
from hotstate.records import BalanceRecord

log = structlog.get_logger(__name__)

OPEN, SETTLED = "open", "settled"
# Lua's unpack() and one command's size are bounded.
REGISTERED_PER_CALL = 1_000

# Which of these request ids are posted: the rooms above know.
Posted = Callable[[list[str]], set[str]]
posted: list[Posted] = []


class Hold(NamedTuple):
    """Money of an organization set aside for a request by one of its API keys, in nano-dollars."""

    org: str
    request_id: str
    state: str
    nanos: int
    key: str


def find(org: str, request_id: str) -> Hold | None:
    """What is held for a request that isn't posted yet. Raises Unreachable."""
    with reaching_valkey() as valkey:
        told: Any = valkey.hget(names.decision_keys(org)[2], request_id)
    if told is None:
        return None
    state, nanos, key = told.decode().split(":", 2)
    return Hold(org, request_id, state, int(nanos), key)


def lapsed_in_all() -> int:
    """How many holds have lapsed since Valkey counts. Raises Unreachable."""
    with reaching_valkey() as valkey:
        return int(valkey.get(names.LAPSED) or 0)


def sweep_lapsed(now: datetime) -> int:
    """Remove lapsed holds, log each, and return how many there were. Raises Unreachable."""
    count = 0
    with reaching_valkey() as valkey:
        lapse = valkey.register_script(scripts.LAPSE)
        for leases in valkey.scan_iter(match=names.ALL_LEASES, count=1000):
            org = leases.decode().split("{")[1].split("}")[0]
            lapsed = lapse(keys=names.decision_keys(org), args=[int(now.timestamp() * 1000)])
            for request_id, nanos in zip(lapsed[::2], lapsed[1::2], strict=True):
                log.warning("hold lapsed", org=org, request=request_id.decode(), nanos=int(nanos))
                count += 1
        if count:
            valkey.incrby(names.LAPSED, count)
    return count


def register(valkey: redis.Redis, holds: Iterable[Hold], until_ms: int) -> int:
    """Tell Valkey of holds that it may have lost; return how many.

    What was posted meanwhile goes again, because its charge is in the balance.
    """
    by_organization: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        by_organization[hold.org].append(hold)
    for org, told in by_organization.items():
        keys = names.decision_keys(org)
        for start in range(0, len(told), REGISTERED_PER_CALL):
            part = told[start : start + REGISTERED_PER_CALL]
            words = [(hold.request_id, hold.state, publish.clamp(hold.nanos), hold.key) for hold in part]
            valkey.eval(scripts.REGISTER, 5, *keys, until_ms, *(word for four in words for word in four))
            _forget(valkey, org, [hold.request_id for hold in part])
    return sum(len(told) for told in by_organization.values())


def forget_posted(valkey: redis.Redis) -> None:
    """An older state that came back holds charges again that the balances have already."""
    for name in valkey.scan_iter(match=names.ALL_HOLDS, count=1000):
        org = name.decode().split("{")[1].split("}")[0]
        _forget(valkey, org, [request_id.decode() for request_id, _ in valkey.hscan_iter(name, count=1000)])


def _forget(valkey: redis.Redis, org: str, request_ids: list[str]) -> None:
    done = {request_id for is_posted in posted for request_id in is_posted(request_ids)}
    if done:
        # Version 0 changes no balance.
        publish.put(valkey, BalanceRecord(org=org, version=0, nanos=0, posted=tuple(done)))
