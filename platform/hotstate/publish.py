"""Records → Valkey. Versions only grow there, so the order of deliveries doesn't matter."""

from functools import cache
from typing import Any

import msgspec
from redis.commands.core import Script

from hotstate import names, scripts
from hotstate.client import valkey
from hotstate.records import BalanceRecord, Budgets, KeyRecord, Limits, OrganizationRecord, Spent

# Lua counts in doubles, exact up to 2^53: amounts are published within ±$9M.
LARGEST_NANOS = 9_000_000 * 10**9
# Decisions wait while Valkey works through what came in one write: so many commands, holds in a command.
AT_ONCE = 50
POSTED_PER_CALL = 100

Record = KeyRecord | OrganizationRecord | BalanceRecord


def clamp(nanos: int) -> int:
    return max(-LARGEST_NANOS, min(LARGEST_NANOS, nanos))


def clamp_hold(nanos: int) -> int:
    """A worst case as the decision is asked about it: more than can be counted is more than anybody has."""
    return min(LARGEST_NANOS + 1, nanos)


def put(pipeline: Any, record: Record, *, era: str = "", token: str = "") -> None:
    """Add the commands that publish a record to a redis-py pipeline (or client).

    `era` and `token` are for `loading` alone, which reads records from PostgreSQL just then.
    """
    match record:
        case KeyRecord():
            _put_key(pipeline, record, era)
        case OrganizationRecord():
            name = names.organization_hash(record.org)
            fields = ["suspended", int(record.suspended), "overdraft", clamp(record.overdraft_nanos)]
            fields += ["record", msgspec.json.encode(record), *_fields(record.limits)]
            _run(scripts.PUBLISH_RECORD, pipeline, [name], record.version, era, token, *fields)
        case BalanceRecord():
            _put_balance(pipeline, record, era)


def _put_key(pipeline: Any, record: KeyRecord, era: str) -> None:
    name = names.key_hash(record.org, record.key)
    expires = "" if record.expires_ms is None else record.expires_ms
    fields = ["revoked", int(record.revoked), "expires", expires, "record", msgspec.json.encode(record)]
    fields += [*_fields(record.limits), *_fields(record.budgets, prefix="budget_")]
    _run(scripts.PUBLISH_RECORD, pipeline, [name], record.version, era, "", *fields)
    for digest in record.secrets:
        pipeline.set(names.digest_index(digest), f"{record.org} {record.key}")


def _put_balance(pipeline: Any, record: BalanceRecord, era: str) -> None:
    of_keys = [names.key_hash(record.org, spent.key) for spent in record.spent]
    keys = [*names.decision_keys(record.org), *of_keys]
    spending = msgspec.json.encode([_spending(spent) for spent in record.spent])
    for start in range(0, max(1, len(record.posted)), POSTED_PER_CALL):
        posted = record.posted[start : start + POSTED_PER_CALL]
        values = [record.version, clamp(record.nanos), spending, era, *posted]
        _run(scripts.PUBLISH_BALANCE, pipeline, keys, *values)


def _run(text: str, pipeline: Any, keys: list[str], *arguments: Any) -> None:
    """By its digest: its text goes to a server that hasn't got it, once."""
    _script(text)(keys=keys, args=arguments, client=pipeline)


@cache
def _script(text: str) -> Script:
    return valkey().register_script(text)


def _spending(spent: Spent) -> list[str]:
    amounts = {f"spent_{name}": str(clamp(getattr(spent, name))) for name in ("day", "week", "month", "total")}
    return [word for pair in {**amounts, **spent.windows._asdict()}.items() for word in pair]


def _fields(values: Limits | Budgets, *, prefix: str = "") -> list[str | int]:
    """Field, value, …; an empty value is no limit."""
    fields: list[str | int] = []
    for name in values.__struct_fields__:
        value = getattr(values, name)
        fields += [prefix + name, "" if value is None else clamp(value)]
    return fields
