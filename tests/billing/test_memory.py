"""However large a segment is, a worker that posts it stays small: its process's own memory, as Linux says."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import pytest
from django.conf import settings
from django.db import connection

from billing.intake import receive_file
from billing.models import Segment
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, usage_line

pytestmark = pytest.mark.django_db(transaction=True)
MOST_MB = 300
POST = """
import sys
import django
django.setup()
from django.utils import timezone
from billing.posting import post_segment
segment = post_segment(int(sys.argv[1]), now=timezone.now())
print(segment.new, segment.duplicate, segment.quarantined)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture
def line() -> dict[str, Any]:
    organization = make_organization()
    make_model()
    give_credit(organization, 10**6 * DOLLAR)
    return usage_line(make_key(organization)[0], usage={"input_tokens": 1})


def varied(line: dict[str, Any], length: int) -> Iterator[bytes]:
    """Endless lines of one source, each of another request, made longer to `length` bytes."""
    number = int(line["id"].replace("-", ""), 16) & ~0xFFFFFFFFFFFF
    filled = {"tags": {"t": "x" * max(0, length - 420)}} if length else {}
    text = msgspec.json.encode({**line, **filled, "id": "ID", "seq": 987654321}).decode()
    before, between, after = text.replace('"ID"', "\0").replace("987654321", "\0").split("\0")
    for seq in itertools.count(1):
        yield f'{before}"{UUID(int=number + seq)}"{between}{seq}{after}\n'.encode()


def post(path: Path, lines: Iterator[bytes], size: int) -> tuple[list[int], int]:
    """Post a segment of so many bytes in a process of its own: new, duplicate, quarantined; and its largest MB."""
    with path.open("wb") as file:
        while file.tell() < size:
            file.writelines(itertools.islice(lines, 1000))
    segment = Segment(identity="large", source="gw-test", origin=Segment.Origin.FILE, received_at=datetime.now(UTC))
    with path.open("rb") as file:
        stored, _ = receive_file(segment, file)
    path.unlink()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "VALKEY_URL": settings.VALKEY_URL,
        "ARCHIVE_DIR": str(settings.STORAGES["archive"]["OPTIONS"]["location"]),
    }
    done = subprocess.run(
        [sys.executable, "-c", POST, str(stored.pk)], env=environment, check=True, stdout=subprocess.PIPE, timeout=3600
    )
    *_, counts, peak = done.stdout.decode().splitlines()
    return [int(count) for count in counts.split()], int(peak) // 1024


@pytest.mark.parametrize(
    ("length", "megabytes"),
    [
        (0, 40),
        (65_500, 200),
        pytest.param(1_000, 2048, marks=[pytest.mark.extended, pytest.mark.timeout(3600)]),
        pytest.param(65_500, 2048, marks=[pytest.mark.extended, pytest.mark.timeout(3600)]),
    ],
)
def test_a_worker_stays_small(line: dict[str, Any], tmp_path: Path, length: int, megabytes: int) -> None:
    counts, peak = post(tmp_path / "large.jsonl", varied(line, length), megabytes * 2**20)
    assert counts[0] > 1000
    assert counts[1:] == [0, 0]
    assert peak < MOST_MB, peak


def test_a_worker_stays_small_where_every_line_waits(line: dict[str, Any], tmp_path: Path) -> None:
    unknown = varied({**line, "key": "key_nobody"}, 65_500)
    counts, peak = post(tmp_path / "large.jsonl", unknown, 50 * 2**20)
    assert counts[:2] == [0, 0]
    assert peak < MOST_MB, peak


def test_a_worker_stays_small_where_lines_never_end(line: dict[str, Any], tmp_path: Path) -> None:
    endless = itertools.chain(itertools.repeat(b"x" * 10**6, 150), itertools.repeat(b"\n"))
    counts, peak = post(tmp_path / "large.jsonl", endless, 150 * 10**6)
    assert counts == [0, 0, 1]
    assert peak < MOST_MB, peak
