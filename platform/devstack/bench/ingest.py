"""`bench ingest`: JSON lines to posted balances, with two workers, through the real Celery.

Beside it `copy`: two connections that copy the same rows into a table with the same indexes.
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import psycopg
import uuid_utils
from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.intake import receive_segment
from billing.models import Segment
from billing.partitions import ensure_partitions
from billing.proofs.proving import prove
from billing.rated import RatedEvent, Rater
from billing.staging import COLUMNS, as_text
from devstack.bench import cpu
from devstack.bench.fullday import fill_day
from devstack.bench.population import Population, empty_database, populate
from devstack.bench.report import Report, in_turn

WORKERS = 2
SEGMENT_LINES = 20_000
SOURCE = "gw-bench"
TIMEOUT_SECONDS = 900
FULL_DAY = 10_000_000


def run(*, quick: bool, extended: bool = False) -> Report:
    """Measure; the database and Valkey are the bench's own. Extended, also on a day that has FULL_DAY events."""
    lines, runs = (80_000, 3) if quick else (400_000, 3)
    empty_database()
    ensure_partitions(timezone.now().date())
    population = populate(organizations=1_000, keys=10_000, models=5)
    notes: dict[str, object] = {"lines": lines, "segment_lines": SEGMENT_LINES, "workers": WORKERS}
    with _worker() as worker:
        spread, concentrated = Ingest(population, worker, lines, 0.0), Ingest(population, worker, lines, 0.8)
        # One hour's sums are there already, as they are but for the first second of an hour.
        spread.measure()
        spread.forget()
        series = in_turn(
            runs,
            {
                "ingest": spread.measure,
                "concentrated": concentrated.measure,
                "copy": lambda: _copy(population, lines=lines),
            },
        )
        if extended:
            full = Ingest(population, worker, lines, 0.0)
            fill_day(FULL_DAY, timezone.now())
            full.measure()
            full.forget()
            measured = in_turn(runs, {"full": full.measure})["full"]
            notes["full_day_rate"] = round(measured.median, 1)
            notes["full_day_ratio"] = round(measured.median / series["ingest"].median, 3)
            notes["full_day_cpu_us"] = full.costs()
        notes["worker_mb"] = cpu.memory_mb(worker)
    notes["concentrated_rate"] = round(series.pop("concentrated").median, 1)
    notes["concentrated"] = "80% of the events in one organization"
    notes["cpu_us"] = spread.costs()
    notes["concentrated_cpu_us"] = concentrated.costs()
    notes["red_proofs"] = [result.name for result in prove(timezone.now()) if not result.ok]
    return Report("ingest", series.pop("ingest"), series, notes=notes)


@contextmanager
def _worker() -> Iterator[int]:
    """The pid of a worker while it lasts; what it logged is told where something went wrong."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-c", str(WORKERS), "--loglevel", "ERROR"]
    # The database's real name is in the settings of this process; the worker reads its own from the environment.
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, env=os.environ, stdout=log, stderr=log)
        try:
            yield worker.pid
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-10_000:])
            raise
        finally:
            worker.terminate()
            worker.wait(30)


def _lines(population: Population, count: int, share: float) -> list[bytes]:
    """Usage lines of this moment. `share` of them are of the first organization."""
    chance = random.Random(7)
    now_ms = int(time.time() * 1000)
    time_text = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = []
    for seq in range(1, count + 1):
        index = 0 if chance.random() < share else chance.randrange(len(population.keys))
        identifier = UUID(int=now_ms << 80 | uuid_utils.uuid7().int & ((1 << 80) - 1))
        line = {
            "v": 1,
            "id": str(identifier),
            "source": SOURCE,
            "seq": seq,
            "time": time_text,
            "key": population.keys[index],
            "org": population.owners[index],
            "model": population.models[seq % len(population.models)],
            "endpoint": "chat.completions",
            "status": 200,
            "outcome": "completed",
            "usage": {"requests": 1, "input_tokens": chance.randrange(2_000), "output_tokens": chance.randrange(500)},
            "stream": True,
            "ttft_ms": 120,
        }
        lines.append(msgspec.json.encode(line))
    return lines


class Ingest:
    """One way of spreading events, measured several times."""

    def __init__(self, population: Population, worker: int, lines: int, share: float) -> None:
        self._population, self._worker, self._lines, self._share = population, worker, lines, share
        self._postmaster = cpu.postmaster()
        self.forget()

    def forget(self) -> None:
        self._events, self._python, self._postgres = 0, 0.0, 0.0

    def measure(self) -> float:
        """Events per second from the first hint until the last balance is posted."""
        raw = _lines(self._population, self._lines, self._share)
        segments = [raw[first : first + SEGMENT_LINES] for first in range(0, len(raw), SEGMENT_LINES)]
        contents = [b"\n".join(segment) + b"\n" for segment in segments]
        before = cpu.of_tree(self._worker), cpu.of_tree(self._postmaster)
        start = time.perf_counter()
        for content in contents:
            identity = f"bench-{uuid_utils.uuid7()}"
            receive_segment(identity, content, source=SOURCE, origin=Segment.Origin.GATEWAY, now=timezone.now())
        while Segment.objects.unposted().exists():
            if time.perf_counter() > start + TIMEOUT_SECONDS:
                raise TimeoutError("segments are not posted")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        self._events += self._lines
        self._python += cpu.of_tree(self._worker) - before[0]
        self._postgres += cpu.of_tree(self._postmaster) - before[1]
        return self._lines / seconds

    def costs(self) -> dict[str, float]:
        """CPU microseconds per event, of the workers and of PostgreSQL; what others do to the machine is not in it."""
        each = 1_000_000 / self._events
        return {"workers": round(self._python * each, 1), "postgresql": round(self._postgres * each, 1)}


def _copy(population: Population, *, lines: int) -> float:
    """Rows per second of two connections that copy rated events into a table like that of the events."""
    events = _rated(_lines(population, lines, 0.0))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_copy")
        cursor.execute("CREATE TABLE bench_copy (LIKE billing_usageevent INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute("ALTER TABLE bench_copy ADD PRIMARY KEY (id)")
        cursor.execute("CREATE INDEX ON bench_copy (organization_id, id DESC)")
    halves = [[as_text(event) for event in events[half::WORKERS]] for half in range(WORKERS)]
    threads = [threading.Thread(target=_copy_rows, args=(rows,)) for rows in halves]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lines / (time.perf_counter() - start)


def _rated(raw: list[bytes]) -> list[RatedEvent]:
    segment = Segment(pk=0, source=SOURCE)
    rated = Rater.for_segment(segment, timezone.now()).rate(raw)
    return [event for event in rated if isinstance(event, RatedEvent)]


def _copy_rows(rows: Sequence[str]) -> None:
    with psycopg.connect(settings.DATABASE_URL) as own, own.cursor() as cursor:
        for first in range(0, len(rows), SEGMENT_LINES):
            with cursor.copy(f"COPY bench_copy ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                copy.write("".join(rows[first : first + SEGMENT_LINES]))
            own.commit()
