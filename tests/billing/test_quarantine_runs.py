"""A hundred thousand quarantined lines are replayed by portions, in memory that doesn't grow with them."""

import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing.models import QuarantinedLine, QuarantineRun, Segment
from billing.quarantine.looking import Kind
from billing.quarantine.runs import PORTION_LINES, go_on, start_run
from tests.cast import make_segment, make_user

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (12_000, 500),
        # As long as any is kept, so that a portion has fewer.
        (600, 64 * 1024),
        pytest.param(100_000, 500, marks=[pytest.mark.extended, pytest.mark.timeout(600)]),
    ],
)
def test_a_large_kind_is_replayed_by_portions(lines: int, length: int) -> None:
    segment = make_segment(b"")
    for start in range(0, lines, 1_000):
        QuarantinedLine.objects.bulk_create(
            QuarantinedLine(segment=segment, line=line, reason="unknown_model", raw=b"x" * length)
            for line in range(start, min(lines, start + 1_000))
        )
    staff = make_user("staff@example.com", is_staff=True)
    run = start_run(Kind("unknown_model"), QuarantineRun.Action.REPLAY, actor=staff, now=NOW)
    assert run
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    portions = 0
    while go_on(run.pk, NOW):
        portions += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    run.refresh_from_db()
    assert (run.done, QuarantinedLine.objects.open().count()) == (lines, 0)
    assert portions == Segment.objects.filter(origin="replay").count() >= max(2, lines // PORTION_LINES)
