"""`manage.py ingest`: files become segments, the same ones each time, whatever their size."""

import gzip
import resource
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey
from billing import batches, intake, tasks
from billing.models import Balance, Segment, UsageEvent
from billing.posting import post_segment
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, raw, usage_line

pytestmark = pytest.mark.django_db
CHARGE = 1000 * 3_000 + 100 * 15_000


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def key() -> ApiKey:
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments are posted as soon as they are registered."""

    def post(task: Any, pk: int) -> None:
        # Alarms have tasks of their own.
        if task is tasks.post_segment:
            post_segment(pk, now=datetime.now(UTC))

    monkeypatch.setattr("billing.intake.enqueue.after_commit", post)


def ingest(*arguments: Any, source: tuple[str, ...] = ("--source", "file-1")) -> str:
    out = StringIO()
    call_command("ingest", *map(str, arguments), *source, stdout=out, stderr=StringIO())
    return out.getvalue()


def lines(key: ApiKey, count: int) -> list[dict[str, Any]]:
    return [usage_line(key, seq=seq, source="file-1") for seq in range(1, count + 1)]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_posted_and_told_about(key: ApiKey, tmp_path: Path, *, packed: bool) -> None:
    content = raw(*lines(key, 3), b"nonsense")
    path = tmp_path / "usage.log"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert "3 new, 0 duplicate, 1 quarantined, 0 skipped" in ingest(path)
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 3 * CHARGE


@pytest.mark.usefixtures("worker")
def test_how_far_it_is_is_shown(key: ApiKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = raw(*lines(key, 3))
    (tmp_path / "usage.log").write_bytes(content)
    shown = StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    ingest(tmp_path / "usage.log")
    assert f"100%  {len(content):,} of {len(content):,}" in shown.getvalue()
    assert "posting [##############################] 100%  1 of 1" in shown.getvalue()


@pytest.mark.usefixtures("worker")
def test_a_file_tells_its_source(key: ApiKey, tmp_path: Path) -> None:
    (tmp_path / "usage.log").write_bytes(raw(*lines(key, 2)))
    (tmp_path / "other.log").write_bytes(b"nonsense\n")
    assert "2 new, 0 duplicate, 1 quarantined" in ingest(tmp_path / "usage.log", tmp_path / "other.log", source=())
    assert list(Segment.objects.order_by("pk").values_list("source", flat=True)) == ["file-1", "file"]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("torn", [b'{"v":1,"id":"01', b'"source":"file-1"}', b"\xff\x00", b'{"source": "other"}'])
def test_lines_that_cannot_be_read_do_not_tell_a_files_source(key: ApiKey, tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "usage.log").write_bytes(raw(torn, torn, *lines(key, 2)))
    assert "2 new, 0 duplicate, 2 quarantined" in ingest(tmp_path / "usage.log", source=())
    assert Segment.objects.get().source == "file-1"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(("unreadable", "source"), [(999, "file-1"), (1_000, "file")])
def test_a_files_source_is_looked_for_in_its_first_lines_only(
    key: ApiKey, tmp_path: Path, unreadable: int, source: str
) -> None:
    (tmp_path / "usage.log").write_bytes(raw(*[b"nonsense"] * unreadable, *lines(key, 1)))
    ingest(tmp_path / "usage.log", source=())
    assert Segment.objects.get().source == source


@pytest.mark.usefixtures("worker")
def test_the_same_file_again_is_known_and_a_longer_one_adds_what_is_new(
    key: ApiKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 1_000)
    all_ = lines(key, 20)
    path = tmp_path / "usage.jsonl"
    path.write_bytes(raw(*all_[:15]))
    ingest(path)
    count = Segment.objects.count()
    assert count > 3
    assert f"{count} of them known already" in ingest(path)
    assert Segment.objects.count() == count
    path.write_bytes(raw(*all_))
    ingest(path)
    assert UsageEvent.objects.count() == 20
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 20 * CHARGE


def test_a_file_of_short_lines_becomes_segments_of_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_LINES", 4)
    assert [len(chunk) for chunk in batches.chunks(b"x" for _ in range(10))] == [4, 4, 2]
    assert batches.CHUNK_LINES <= intake.MOST_LINES


def test_without_waiting_it_is_archived(key: ApiKey, tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_bytes(raw(*lines(key, 2)))
    assert "1 segments archived" in ingest(path, "--no-wait")
    assert Segment.objects.get().origin == Segment.Origin.FILE


def test_without_a_worker_it_says_so(key: ApiKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.management.commands.ingest.PATIENCE_SECONDS", 0.1)
    path = tmp_path / "usage.jsonl"
    path.write_bytes(raw(*lines(key, 2)))
    with pytest.raises(CommandError, match="is a worker running"):
        ingest(path)


def test_a_torn_gzip_says_so_and_what_came_before_stays(
    key: ApiKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK", 10_000)
    path = tmp_path / "usage.jsonl.gz"
    path.write_bytes(gzip.compress(raw(*lines(key, 3000)))[:-20])
    with pytest.raises(CommandError, match=r"torn.*run this again"):
        ingest(path, "--no-wait")
    assert Segment.objects.exists()


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        ingest(tmp_path / "none")


def grown_kib(path: Path) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ingest(path, "--no-wait")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.parametrize("mebibytes", [200, pytest.param(2048, marks=[pytest.mark.extended, pytest.mark.timeout(900)])])
def test_a_large_file_is_taken_in_bounded_memory(key: ApiKey, tmp_path: Path, mebibytes: int) -> None:
    portion = raw(*lines(key, 2000))
    with (tmp_path / "large.jsonl").open("wb") as file:
        while file.tell() < mebibytes * 1024 * 1024:
            file.write(portion)
    assert grown_kib(tmp_path / "large.jsonl") < 150 * 1024
    assert Segment.objects.count() <= 1 + mebibytes // 15
