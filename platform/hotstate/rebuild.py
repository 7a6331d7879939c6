"""After a restart of Valkey everything is published again: what it lost comes back, what it has is newer or equal.

The rooms above register where their records come from; this one knows no other.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import structlog

from hotstate import publish
from hotstate.client import reaching_valkey

log = structlog.get_logger(__name__)

Source = Callable[[], Iterable[publish.Record]]
sources: list[Source] = []
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
        valkey.set(MARK, run)
    log.info("hot state published to a new run of Valkey", records=count)
    return True
