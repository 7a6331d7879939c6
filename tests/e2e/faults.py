"""Faults that hit something: a worker is stopped, looked at, and only then it or an engine is killed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psutil
import psycopg

from tests.devstack.stack import Stack
from tests.waiting import wait_until

# Transactions that have written or locked something, by the port that they came from, and what they are, as their locks
# say: a posting has the fence row of a segment and its part of the turn; a publish has rows of the outbox, which it
# deletes once Valkey has them. Others are neither: nightly work, requests, looking after sequences.
OPEN = """
SELECT client_port,
    bool_or(locktype = 'relation' AND relation = 'billing_segment'::regclass AND mode = 'RowShareLock')
        AND bool_or(locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1
            AND (classid::bigint << 32 | objid::bigint) = hashtext(current_schema() || '.billing_turn')) AS posting,
    bool_or(locktype = 'relation' AND relation = 'hotstate_outboxentry'::regclass AND mode = 'RowShareLock') AS publish
FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE datname = current_database() AND pid <> pg_backend_pid() AND client_port > 0 AND xact_start IS NOT NULL
    AND backend_xid IS NOT NULL AND state IN ('active', 'idle in transaction') AND query NOT LIKE 'COMMIT%' AND granted
GROUP BY client_port
"""


class Faults:
    """What was hit, by kind: `worker in posting`, `worker in publish`, `postgres in posting`, `valkey in publish`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.hits: Counter[str] = Counter()

    def strike(self, service: str, doing: str, *, seconds: float) -> bool:
        """Kill a worker's process or an engine while a worker does that. Whether it was seen to, in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(psutil.Error, psycopg.Error, KeyError):
                for child in psutil.Process(self._stack.pids["worker"]).children():
                    with _stopped(child):
                        if doing in self._open_in(child):
                            self._kill(service, child)
                            self.hits[f"{service} in {doing}"] += 1
                            return True
            time.sleep(0.002)
        return False

    def _open_in(self, child: psutil.Process) -> set[str]:
        """What a stopped process has open in PostgreSQL: nothing of it can be committed now."""
        ports = {connection.laddr.port for connection in child.net_connections("tcp")}
        with closing(psycopg.connect(self._stack.database_url, connect_timeout=2, autocommit=True)) as looking:
            return {doing for port, doing in open_work(looking) if port in ports}

    def _kill(self, service: str, child: psutil.Process) -> None:
        if service == "worker":
            child.kill()
            return
        # SIGQUIT is PostgreSQL's immediate shutdown.
        pid = self._stack.pids[service]
        os.kill(pid, signal.SIGQUIT if service == "postgres" else signal.SIGKILL)
        wait_until(lambda: not _runs(pid), f"{service} to end", within=10)


def open_work(looking: psycopg.Connection[Any]) -> set[tuple[int, str]]:
    """The ports from which a `posting` or a `publish` is open."""
    found = looking.execute(OPEN).fetchall()
    return {(port, "posting") for port, posting, _ in found if posting} | {
        (port, "publish") for port, _, publish in found if publish
    }


@contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
