"""Holds whose lease ran out. A gateway renews the leases of what it works on."""

from datetime import datetime

import structlog

from hotstate import names, scripts
from hotstate.client import reaching_valkey

log = structlog.get_logger(__name__)


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
