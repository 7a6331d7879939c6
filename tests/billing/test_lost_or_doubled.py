"""Usage that peers lost or charged twice: each bug that they shipped is a test here. docs/peer-bugs.md lists them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest
from celery import current_app
from django.db import connection
from django.db.models import Sum

from accounts.models import ApiKey
from billing import rollups, staging, tasks, usage
from billing.models import Balance, DailyUsage, HourlyUsage, LedgerTransaction, QuarantinedLine, SecretUse, Segment
from billing.models import UsageEvent as Event
from billing.posting import post_segment
from config.schedule import SCHEDULE
from gateway.logs.usage_log import UsageLog, closed_segments
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    request_id,
    usage_line,
)

CHARGE = 1000 * 3_000 + 100 * 15_000


@pytest.fixture
def key(db: None) -> ApiKey:
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def post(*lines: dict[str, Any] | bytes) -> tuple[int, int, int]:
    posted = post_segment(make_segment(raw(*lines)).pk, now=datetime.now(UTC))
    assert posted
    return posted.new, posted.duplicate, posted.quarantined


def spent(key: ApiKey) -> int:
    return DOLLAR - Balance.objects.get(organization=key.organization).nanos


def failing(*_arguments: Any, **_named: Any) -> None:
    raise ArithmeticError


def test_litellm_33872_what_was_taken_up_and_not_committed_is_taken_up_again(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = make_segment(raw(usage_line(key)), now=datetime.now(UTC) - timedelta(minutes=1))
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "add", failing)
        tasks.post_segment(segment.pk)
    monkeypatch.setattr("billing.tasks.enqueue.now", lambda task, pk: task(pk))
    # By whatever beat starts every few seconds: no other message comes.
    for scheduled in SCHEDULE.values():
        if scheduled["task"].startswith("billing.tasks.") and scheduled["schedule"] <= 60:
            current_app.tasks[scheduled["task"]]()
    assert spent(key) == CHARGE


def test_litellm_38157_a_shutdown_leaves_what_is_not_shipped_for_the_next_start(
    tmp_path: Path, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written, and what wasn't because the disk was full: both are in a segment when `shut` returns."""
    log = UsageLog(tmp_path, largest_bytes=2**20, oldest_seconds=60)

    def append() -> str:
        line = usage_line(key)
        id, time = request_id(datetime.now(UTC)), datetime.fromisoformat(line["time"])
        fields = {name: line[name] for name in ("key", "model", "endpoint", "status", "outcome", "usage")}
        log.append(id=id, time=time, **fields)
        return str(id)

    written = append()
    with monkeypatch.context() as full:
        full.setattr("gateway.logs.usage_log.os.write", failing_to_write)
        unwritten = append()
    assert log.blocked
    log.shut()
    (left,) = closed_segments(tmp_path)
    assert [line["id"] for line in map(msgspec.json.decode, left.read_bytes().splitlines())] == [written, unwritten]


def failing_to_write(*_: Any) -> int:
    raise OSError("no space left on device")


def test_litellm_6633_lines_with_an_empty_id_all_wait_and_none_hides_another(key: ApiKey) -> None:
    nameless = [{**usage_line(key, seq=seq), "id": ""} for seq in (1, 2, 3)]
    assert post(*nameless, usage_line(key, seq=4)) == (1, 0, 3)
    assert QuarantinedLine.objects.count() == 3


def test_litellm_15740_an_event_that_is_logged_twice_is_charged_once(key: ApiKey) -> None:
    line = usage_line(key, endpoint="responses")
    assert post(line, {**line, "seq": 2}) == (1, 1, 0)
    assert post({**line, "endpoint": "chat.completions", "seq": 3}) == (0, 1, 0)
    assert spent(key) == CHARGE


def test_sub2api_2332_a_stream_that_took_two_attempts_is_one_request(key: ApiKey) -> None:
    line = usage_line(key, stream=True, attempts=2)
    assert post(line, {**line, "seq": 2, "attempts": 1, "ttft_ms": 50}) == (1, 1, 0)
    assert HourlyUsage.objects.get().events == 1
    assert spent(key) == CHARGE


@pytest.mark.parametrize("where", ["rollups.add", "secret_use.add", "ledger.post", "turns.number"])
def test_lago_4772_a_segment_that_fails_stores_nothing(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    segment = make_segment(raw(usage_line(key), b"{}"))
    monkeypatch.setattr(f"billing.{where}", failing)
    tasks.post_segment(segment.pk)
    for model in (Event, HourlyUsage, DailyUsage, SecretUse, QuarantinedLine):
        assert not model._default_manager.exists(), model
    assert not LedgerTransaction.objects.filter(kind="usage").exists()
    assert Segment.objects.get().posted_at is None
    assert spent(key) == 0


def test_lago_5327_events_that_differ_in_their_id_alone_are_all_charged(key: ApiKey) -> None:
    at = datetime.now(UTC)
    lines = [usage_line(key, id=request_id(at)) for _ in range(20)]
    assert post(*lines) == (20, 0, 0)
    assert spent(key) == 20 * CHARGE


def test_flexprice_2488_the_same_event_at_another_time_is_the_same_event(key: ApiKey) -> None:
    line = usage_line(key)
    post(line)
    later = {**line, "ended": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "seq": 2}
    moved = {**line, "time": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(), "seq": 3}
    assert post(later, moved) == (0, 1, 1)
    assert spent(key) == CHARGE


def test_lago_4227_sums_without_a_route_or_secret_are_one_row(key: ApiKey) -> None:
    at = datetime.now(UTC)
    for seq in range(3):
        post(usage_line(key, id=request_id(at), seq=seq + 1))
    assert HourlyUsage.objects.get().events == DailyUsage.objects.get().events == SecretUse.objects.get().events == 3


@pytest.mark.django_db(transaction=True)
def test_polar_eda61aa_two_workers_with_one_segment_post_it_once(key: ApiKey) -> None:
    segment = make_segment(raw(*(usage_line(key, seq=seq) for seq in range(1, 51))))
    assert sorted(map(bool, together(lambda _: post_segment(segment.pk, now=datetime.now(UTC))))) == [False, True]
    assert spent(key) == 50 * CHARGE


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_events_in_other_orders_charge_each_once(key: ApiKey) -> None:
    lines = [usage_line(key, seq=seq) for seq in range(1, 301)]
    segments = [make_segment(raw(*lines)), make_segment(raw(*lines[::-1]))]
    posted = together(lambda place: post_segment(segments[place].pk, now=datetime.now(UTC)))
    assert sum(segment.new for segment in posted) == sum(segment.duplicate for segment in posted) == 300
    assert HourlyUsage.objects.aggregate(sum=Sum("events")) == {"sum": 300}
    assert spent(key) == 300 * CHARGE


def together(do: Any) -> list[Any]:
    """What two threads get, each with its number, at the same time."""
    barrier = Barrier(2)

    def one(place: int) -> Any:
        try:
            barrier.wait(10)
            return do(place)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


def test_polar_13473_events_of_one_millisecond_are_all_on_some_page(key: ApiKey) -> None:
    at = datetime.now(UTC) - timedelta(seconds=1)
    post(*(usage_line(key, id=request_id(at), seq=seq) for seq in range(1, 24)))
    seen, before = [], None
    while page := usage.requests(key.organization, before=before, limit=5):
        seen += [event.id for event in page]
        before = page[-1].id
    assert len(seen) == len(set(seen)) == 23


def test_what_is_there_already_is_found_without_a_failed_copy_where_all_of_it_is(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed copy leaves dead rows: a segment that comes again must not make them."""
    lines = [usage_line(key, seq=seq) for seq in range(1, 31)]
    post(*lines)
    copied: list[str] = []
    copy = staging._copy
    monkeypatch.setattr(staging, "_copy", lambda table, events: (copied.append(table), copy(table, events)))
    assert post(*lines) == (0, 30, 0)
    assert copied == ["usage_staging"]
