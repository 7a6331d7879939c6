"""A segment that can't be posted is told to staff, tried again, and keeps no other waiting."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from accounts.models import Alarm, ApiKey
from billing import posting, rollups, tasks
from billing.models import Segment, UsageEvent
from billing.prices import NOTICE, publish_prices
from catalog.models import Model
from tests.cast import make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> ApiKey:
    make_model()
    return make_key(make_organization())[0]


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(*_arguments: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr(rollups, "add", failing)


def test_an_error_becomes_one_alarm_and_the_task_ends(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = make_segment(raw(usage_line(key)))
    with monkeypatch.context() as patched:
        fail(patched, ArithmeticError("bigint out of range"))
        for _ in range(3):
            tasks.post_segment(segment.pk)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.subject, alarm.count) == ("posting_fails", segment.identity, 3)
    assert "bigint out of range" in alarm.detail
    assert not UsageEvent.objects.exists()
    tasks.post_segment(segment.pk)
    assert UsageEvent.objects.count() == 1


def test_each_segment_has_an_alarm_of_its_own(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = [make_segment(raw(usage_line(key, seq=seq))) for seq in (1, 2)]
    fail(monkeypatch, ArithmeticError())
    for segment in segments:
        tasks.post_segment(segment.pk)
    assert set(Alarm.objects.values_list("subject", flat=True)) == {segment.identity for segment in segments}


def test_an_archived_file_that_is_gone_is_told(key: ApiKey) -> None:
    segment = make_segment(raw(usage_line(key)))
    os.unlink(os.path.join(settings.STORAGES["archive"]["OPTIONS"]["location"], segment.path))
    tasks.post_segment(segment.pk)
    assert "FileNotFoundError" in Alarm.objects.get().detail


def test_a_database_that_is_away_is_no_alarm(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = make_segment(raw(usage_line(key)))
    fail(monkeypatch, OperationalError("deadlock detected"))
    tasks.post_segment(segment.pk)
    assert not Alarm.objects.exists()


def test_segments_that_fail_for_ever_do_not_keep_others_from_the_sweep(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    Segment.objects.bulk_create(
        Segment(identity=f"failing-{number}", source="gw-test", path="gone", size_bytes=1, received_at=before)
        for number in range(1000)
    )
    honest = make_segment(raw(usage_line(key)), now=before)
    sent: list[int] = []
    monkeypatch.setattr("billing.tasks.enqueue.now", lambda _task, pk: sent.append(pk))
    for _ in range(60):
        tasks.sweep_segments()
        if honest.pk in sent:
            break
    assert honest.pk in sent


def test_a_line_ahead_of_the_clock_is_posted_when_the_price_of_its_time_is_settled(key: ApiKey) -> None:
    """A gateway's clock was ahead, and a price was published for a moment before the line's: both lines cost that."""
    now = datetime.now(UTC)
    at, model = now + timedelta(minutes=2), Model.objects.get()
    early = make_segment(raw(usage_line(key, at=at, seq=1)), now=now)
    posting.try_post(early.pk, now=now)
    assert not UsageEvent.objects.exists()
    assert not Alarm.objects.exists()
    starts = now + timedelta(seconds=60)
    dearer = {"input_tokens": (30_000, 1), "output_tokens": (15_000, 1)}
    publish_prices(model, dearer, effective_from=starts, actor=None, reason="", now=now + timedelta(seconds=10))
    posting.try_post(early.pk, now=at - NOTICE)
    late = make_segment(raw(usage_line(key, at=at, seq=2)), now=at)
    posting.try_post(late.pk, now=at + timedelta(hours=1))
    charges = list(UsageEvent.objects.order_by("seq").values_list("charge_nanos", flat=True))
    assert charges == [1000 * 30_000 + 100 * 15_000] * 2
