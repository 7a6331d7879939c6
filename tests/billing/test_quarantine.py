"""A quarantined line is resolved once, by its own replay or by a person's reason, and by nothing else."""

from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from accounts.models import ApiKey, User
from billing.models import QuarantinedLine, QuarantineRun, Segment
from billing.posting import post_segment
from billing.quarantine import runs
from billing.quarantine.looking import Kind
from billing.quarantine.replaying import ReplayError
from billing.quarantine.resolving import replay_line
from billing.quarantine.runs import go_on, start_run
from tests.cast import make_key, make_model, make_organization, make_segment, make_user, raw, usage_line


def staff() -> User:
    return make_user("staff@example.com", is_staff=True)


def waiting(key: ApiKey) -> QuarantinedLine:
    segment = make_segment(raw(usage_line(key, "later", org=key.organization.public_id, charge_nanos=5)))
    post_segment(segment.pk, now=datetime.now(UTC))
    return QuarantinedLine.objects.get()


@pytest.fixture
def key(db: None) -> ApiKey:
    make_model()
    return make_key(make_organization())[0]


def test_a_line_is_not_resolved_by_a_segment_that_is_no_replay_of_it(key: ApiKey) -> None:
    """Whatever has the name of its replay: the line stays open, and a person sees why."""
    line = waiting(key)
    make_segment(b"", identity=f"replay-{line.pk}", source="edge-evil")
    with pytest.raises(ReplayError, match=f"replay-{line.pk}"):
        replay_line(line, actor=staff(), now=datetime.now(UTC))
    assert QuarantinedLine.objects.open().get() == line
    assert Segment.objects.filter(origin="replay").count() == 0


@pytest.mark.django_db(transaction=True)
def test_what_somebody_replays_is_not_discarded_too(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hold would be released although it will be charged."""
    line = waiting(key)
    make_model("later")
    actor, now = staff(), datetime.now(UTC)
    run = start_run(Kind("unknown_model"), QuarantineRun.Action.DISCARD, actor=actor, now=now, note="no")

    def replay() -> None:
        try:
            replay_line(line, actor=actor, now=now)
        finally:
            connection.close()

    thread = Thread(target=replay)

    def release(_lines: Any, _now: datetime) -> None:
        thread.start()
        while thread.is_alive() and not somebody_waits():
            thread.join(0.01)

    monkeypatch.setattr(runs, "release_holds", release)
    assert run and go_on(run.pk, now)
    thread.join(10)
    line.refresh_from_db()
    assert (line.replay, line.note) == (None, "no")


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
        return bool(cursor.fetchone()[0])


def test_two_presses_are_one_run(key: ApiKey) -> None:
    waiting(key)
    actor, now = staff(), datetime.now(UTC)
    started = [start_run(Kind("unknown_model"), action, actor=actor, now=now) for action in QuarantineRun.Action]
    assert [run is not None for run in started] == [True, False]
    assert QuarantineRun.objects.count() == 1
