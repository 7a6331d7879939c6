"""Holds from outside of decisions: those whose lease ran out, those told again after a loss, those that are posted."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import redis
import structlog

from hotstate import names, publish, scripts
from hotstate.client import reaching_valkey
from hotstate.models import LapsedHold
from hotstate.records import BalanceRecord

log = structlog.get_logger(__name__)

OPEN, SETTLED = "open", "settled"
# Set aside for a posting (`aside`): nobody's request.
ASIDE = "aside"
# Lua's unpack() and one command's size are bounded.
REGISTERED_PER_CALL = 1_000
ASKED_AT_ONCE = 500
# As the script has it.
LAPSED_PER_CALL = 1_000
# Older events have no partition to go to.
STILL_COMING = timedelta(days=3)

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
        told: Any = valkey.hget(names.holds_of(org), request_id)
    return None if told is None else parse(org, request_id, told)


def parse(org: str, request_id: str, told: bytes) -> Hold:
    """A hold as Valkey has it: `lua/prelude.lua` says how."""
    # Who holds, behind the key, is decisions' matter.
    state, nanos, key, *_ = told.decode().split(":")
    return Hold(org, request_id, state, int(nanos), key)


def lapsed_in_all() -> int:
    """How many holds have lapsed since Valkey counts. Raises Unreachable."""
    with reaching_valkey() as valkey:
        return int(valkey.get(names.LAPSED) or 0)


def sweep_lapsed(now: datetime) -> int:
    """Remove lapsed holds, keep a row and a line of the log of each, and return how many there were.

    Raises Unreachable, and the database's errors: then they stay held.
    """
    with reaching_valkey() as valkey:
        listed = (org.decode() for org in valkey.sscan_iter(names.HOLDING, count=1000))
        count = 0
        while some := list(islice(listed, ASKED_AT_ONCE)):
            pipeline = valkey.pipeline(transaction=False)
            for org in some:
                pipeline.zcount(names.leases_of(org), "-inf", int(now.timestamp() * 1000))
            due = zip(some, pipeline.execute(), strict=True)
            count += sum(_lapse(valkey, org, now) for org, lapsed in due if lapsed)
        return count


def list_holding() -> None:
    """List who has open holds anew, by a look through all of Valkey. Raises Unreachable."""
    with reaching_valkey() as valkey:
        before = valkey.smembers(names.HOLDING)
        holding = {
            leases.split(b"{")[1].split(b"}")[0] for leases in valkey.scan_iter(match=names.ALL_LEASES, count=1000)
        }
        for change, orgs in ((valkey.srem, before - holding), (valkey.sadd, holding - before)):
            if orgs:
                change(names.HOLDING, *orgs)


def _lapse(valkey: redis.Redis, org: str, now: datetime) -> int:
    """The rows first: a process that is killed in between leaves no hold gone and unknown."""
    now_ms = int(now.timestamp() * 1000)
    due: Any = valkey.zrangebyscore(names.leases_of(org), "-inf", now_ms, start=0, num=LAPSED_PER_CALL)
    if not due:
        return 0
    rows = {}
    held: Any = valkey.hmget(names.holds_of(org), due)
    for request_id, told in zip(due, held, strict=True):
        name = request_id.decode()
        hold = None if told is None else parse(org, name, told)
        if hold and hold.state != ASIDE:
            rows[name] = LapsedHold(organization=org, request_id=name, key=hold.key, nanos=hold.nanos, lapsed_at=now)
    LapsedHold.objects.bulk_create(rows.values(), ignore_conflicts=True)
    keys = names.decision_keys(org)
    lapsed = valkey.eval(scripts.LAPSE, len(keys), *keys, now_ms)
    gone = {request_id.decode(): int(nanos) for request_id, nanos in zip(lapsed[::2], lapsed[1::2], strict=True)}
    if gone:
        valkey.incrby(names.LAPSED, len(gone))
    # Renewed or ended in between.
    LapsedHold.objects.filter(request_id__in=rows.keys() - gone.keys(), lapsed_at=now).delete()
    for name, nanos in gone.items():
        log.warning("hold lapsed", org=org, request=name, nanos=nanos)
    return len(gone)


def note_posted(now: datetime) -> int:
    """Lapsed holds whose event came after all; how many."""
    late = LapsedHold.objects.open().filter(lapsed_at__gt=now - STILL_COMING).values_list("request_id", flat=True)
    waiting, count = list(late), 0
    for start in range(0, len(waiting), REGISTERED_PER_CALL):
        part = waiting[start : start + REGISTERED_PER_CALL]
        came = {request_id for is_posted in posted for request_id in is_posted(part)}
        count += LapsedHold.objects.open().filter(request_id__in=came).update(posted_at=now)
    return count


def register(valkey: redis.Redis, holds: Iterable[Hold], until_ms: int) -> int:
    """Tell Valkey of holds that it may have lost; return how many.

    What was posted meanwhile goes again, because its charge is in the balance.
    """
    by_organization: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        by_organization[hold.org].append(hold)
    if by_organization:
        valkey.sadd(names.HOLDING, *by_organization)
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
