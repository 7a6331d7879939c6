"""After a restart of Valkey everything is published again: what it lost comes back, what it has is newer or equal.

The rooms above register where their records come from; this one knows no other.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import redis
import structlog

from hotstate import names, publish
from hotstate.client import reaching_valkey
from hotstate.records import BalanceRecord

log = structlog.get_logger(__name__)

Source = Callable[[], Iterable[publish.Record]]
sources: list[Source] = []
# Which of these request ids are posted.
Posted = Callable[[list[str]], set[str]]
posted: list[Posted] = []
MARK = "km:published-to-run"


def rebuild_if_restarted() -> bool:
    """Publish all records where this run of the server has not had them yet. Raises Unreachable."""
    with reaching_valkey() as valkey:
        run = str(valkey.info("server")["run_id"])
        if valkey.get(MARK) == run.encode():
            return False
        count = 0
        for source in sources:
            records = iter(source())
            while batch := list(islice(records, 1000)):
                pipeline = valkey.pipeline(transaction=False)
                for record in batch:
                    publish.put(pipeline, record)
                pipeline.execute()
                count += len(batch)
        _forget_posted_holds(valkey)
        valkey.set(MARK, run)
    log.info("hot state published to a new run of Valkey", records=count)
    return True


def _forget_posted_holds(valkey: redis.Redis) -> None:
    """A Valkey that came back with an older state holds charges again that its balances have already."""
    for name in valkey.scan_iter(match=names.ALL_HOLDS, count=1000):
        org = name.decode().split("{")[1].split("}")[0]
        held = [request_id.decode() for request_id, _ in valkey.hscan_iter(name, count=1000)]
        done = {request_id for is_posted in posted for request_id in is_posted(held)}
        # Version 0 changes no balance.
        publish.put(valkey, BalanceRecord(org=org, version=0, nanos=0, posted=tuple(done)))
