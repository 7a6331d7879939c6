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
from billing.models import Balance, Segment, UsageEvent
from billing.rated import RatedEvent, Rater
from billing.staging import COLUMNS, as_text
from devstack.bench.population import Population, empty_database, populate
from devstack.bench.report import Report, in_turn

WORKERS = 2
SEGMENT_LINES = 5_000
SOURCE = "gw-bench"
TIMEOUT_SECONDS = 300


def run(*, quick: bool) -> Report:
    """Measure; the database and Valkey are the bench's own."""
    lines, runs = (20_000, 3) if quick else (200_000, 3)
    empty_database()
    population = populate(organizations=1_000, keys=10_000, models=5)
    notes: dict[str, object] = {"lines": lines, "segment_lines": SEGMENT_LINES, "workers": WORKERS}
    with _worker():
        _ingest(population, lines=1_000, share=0.0)
        series = in_turn(
            runs,
            {
                "ingest": lambda: _ingest(population, lines=lines, share=0.0),
                "concentrated": lambda: _ingest(population, lines=lines, share=0.8),
                "copy": lambda: _copy(population, lines=lines),
            },
        )
    concentrated = series.pop("concentrated")
    notes["concentrated_rate"] = round(concentrated.median, 1)
    notes["concentrated"] = "80% of the events in one organization"
    notes["books"] = _books()
    return Report("ingest", series.pop("ingest"), series, notes=notes)


@contextmanager
def _worker() -> Iterator[None]:
    """A worker while it lasts; what it logged is told where something went wrong."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-c", str(WORKERS), "--loglevel", "ERROR"]
    # The database's real name is in the settings of this process; the worker reads its own from the environment.
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, env=os.environ, stdout=log, stderr=log)
        try:
            yield
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


def _ingest(population: Population, *, lines: int, share: float) -> float:
    """Events per second from the first hint until the last balance is posted. Archiving is not in it."""
    raw = _lines(population, lines, share)
    segments = [raw[first : first + SEGMENT_LINES] for first in range(0, lines, SEGMENT_LINES)]
    contents = [b"\n".join(segment) + b"\n" for segment in segments]
    start = time.perf_counter()
    for content in contents:
        receive_segment(
            f"bench-{uuid_utils.uuid7()}", content, source=SOURCE, origin=Segment.Origin.GATEWAY, now=timezone.now()
        )
    deadline = start + TIMEOUT_SECONDS
    while Segment.objects.unposted().exists():
        if time.perf_counter() > deadline:
            raise TimeoutError("segments are not posted")
        time.sleep(0.01)
    return lines / (time.perf_counter() - start)


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


def _books() -> str:
    """Whether the sums agree after it all."""
    from django.db.models import Sum

    charged = int(UsageEvent.objects.aggregate(sum=Sum("charge_nanos"))["sum"])
    left = sum(Balance.objects.values_list("nanos", flat=True))
    granted = Balance.objects.count() * 10**15
    return "agree" if granted - left == charged else f"DIFFER: {granted} - {left} != {charged}"
