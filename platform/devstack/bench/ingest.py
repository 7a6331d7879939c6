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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import psycopg
import uuid_utils
from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.batches import chunks
from billing.closing import close_day
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
POPULATION = {"organizations": 1_000, "keys": 10_000, "models": 5}
SMALL_SEGMENT_LINES = 2_000
COPIED_LINES = 20_000
SOURCE = "gw-bench"
TIMEOUT_SECONDS = 900
FULL_DAY = 10_000_000
DAY = timedelta(days=1)
NO_TIME = timedelta()


def run(*, quick: bool, extended: bool = False) -> Report:
    """Measure; the database and Valkey are the bench's own. Extended, also onto a yesterday of FULL_DAY events."""
    lines, runs = (80_000, 3) if quick else (800_000, 3)
    empty_database()
    ensure_partitions(timezone.now().date())
    population = populate(**POPULATION)
    notes: dict[str, object] = {"lines": lines, "workers": WORKERS, **POPULATION}
    with _worker() as worker:
        ways = {
            "spread_out": Ingest(population, worker, lines),
            "concentrated": Ingest(population, worker, lines, share=0.8),
            "small_segments": Ingest(population, worker, lines // 10, cut=_small),
        }
        if extended:
            fill_day(FULL_DAY, timezone.now() - DAY, timezone.now())
            ways["full_day"] = Ingest(population, worker, lines, age=DAY)
        for way in ways.values():
            # One hour's sums are there already, as they are but for the first second of an hour.
            way.measure()
            way.forget()
        contenders = {name: way.measure for name, way in ways.items()}
        series = in_turn(runs, {**contenders, "copy": lambda: _copy(population, lines=lines)})
        notes["worker_mb"] = cpu.memory_mb(worker)
    for name, way in ways.items():
        notes[f"{name}_rate"] = round(series[name].median, 1)
        notes[f"{name}_cpu_us"] = way.costs()
    notes["segments"] = f"as a file is cut; small ones have {SMALL_SEGMENT_LINES} lines, as a gateway's second has"
    notes["concentrated"] = "80% of the events in one organization"
    if extended:
        notes["full_day_ratio"] = round(series["full_day"].median / series["spread_out"].median, 3)
        start = time.perf_counter()
        close_day((timezone.now() - DAY).date(), timezone.now())
        notes["full_day_closed_in_seconds"] = round(time.perf_counter() - start, 1)
    notes["red_proofs"] = [result.name for result in prove(timezone.now()) if not result.ok]
    return Report("ingest", series["spread_out"], {"copy": series["copy"]}, notes=notes)


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


def _lines(population: Population, count: int, *, share: float = 0, age: timedelta = NO_TIME) -> list[bytes]:
    """Usage lines of one moment, so long ago. `share` of them are of the first organization."""
    chance = random.Random(7)
    now_ms = int((time.time() - age.total_seconds()) * 1000)
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


def _small(raw: list[bytes]) -> Iterator[list[bytes]]:
    for first in range(0, len(raw), SMALL_SEGMENT_LINES):
        yield raw[first : first + SMALL_SEGMENT_LINES]


class Ingest:
    """One way of spreading events, measured several times."""

    def __init__(
        self,
        population: Population,
        worker: int,
        lines: int,
        *,
        share: float = 0,
        age: timedelta = NO_TIME,
        cut: Callable[[list[bytes]], Iterable[list[bytes]]] = chunks,
    ) -> None:
        self._population, self._worker, self._lines = population, worker, lines
        self._share, self._age, self._cut = share, age, cut
        self._postmaster = cpu.postmaster()
        self.forget()

    def forget(self) -> None:
        self._events, self._python, self._postgres = 0, 0.0, 0.0

    def measure(self) -> float:
        """Events per second from the first hint until the last balance is posted."""
        raw = _lines(self._population, self._lines, share=self._share, age=self._age)
        contents = [b"\n".join(segment) + b"\n" for segment in self._cut(raw)]
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
    events = _rated(_lines(population, lines))
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
        for first in range(0, len(rows), COPIED_LINES):
            with cursor.copy(f"COPY bench_copy ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                copy.write("".join(rows[first : first + COPIED_LINES]))
            own.commit()
