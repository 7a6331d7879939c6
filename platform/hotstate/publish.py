"""Records → Valkey. Versions only grow there, so the order of deliveries doesn't matter."""

from typing import Any

import msgspec

from hotstate import names, scripts
from hotstate.records import BalanceRecord, KeyRecord, OrganizationRecord

# Lua counts in doubles, exact up to 2^53: amounts are published within ±$9M.
LARGEST_NANOS = 9_000_000 * 10**9
# Lua's unpack() and one command's size are bounded: holds are taken away in portions.
POSTED_PER_CALL = 5_000

Record = KeyRecord | OrganizationRecord | BalanceRecord


def clamp(nanos: int) -> int:
    return max(-LARGEST_NANOS, min(LARGEST_NANOS, nanos))


def put(pipeline: Any, record: Record) -> None:
    """Add the commands that publish a record to a redis-py pipeline (or client)."""
    match record:
        case KeyRecord():
            _put_key(pipeline, record)
        case OrganizationRecord():
            name, *_ = names.decision_keys(record.org)
            fields = ["suspended", int(record.suspended), "overdraft", clamp(record.overdraft_nanos)]
            pipeline.eval(scripts.PUBLISH_RECORD, 1, name, record.version, *fields)
        case BalanceRecord():
            keys = names.decision_keys(record.org)
            for start in range(0, max(1, len(record.posted)), POSTED_PER_CALL):
                posted = record.posted[start : start + POSTED_PER_CALL]
                pipeline.eval(scripts.PUBLISH_BALANCE, 4, *keys, record.version, clamp(record.nanos), *posted)


def _put_key(pipeline: Any, record: KeyRecord) -> None:
    _, name, *_ = names.decision_keys(record.org, record.key)
    expires = "" if record.expires_ms is None else record.expires_ms
    fields = ["revoked", int(record.revoked), "expires", expires, "record", msgspec.json.encode(record)]
    pipeline.eval(scripts.PUBLISH_RECORD, 1, name, record.version, *fields)
    for digest in record.secrets:
        pipeline.set(names.digest_index(digest), f"{record.org} {record.key}")
