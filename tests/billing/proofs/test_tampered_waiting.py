"""What nobody attends to: each row that is tampered with turns its proof red."""

from datetime import timedelta

import pytest

from accounts.models import ApiKey
from billing import closing
from billing.models import (
    ProofRun,
    QuarantinedLine,
    QuarantineRun,
    Segment,
)
from tests.billing.proofs.conftest import DAY, NEXT_NOON, NOON, forget_outbox, red
from tests.billing.proofs.tampering import Tamper, offender
from tests.cast import give_credit

pytestmark = pytest.mark.usefixtures("right_before")


def test_nothing_stuck(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "INSERT INTO billing_segment (identity, source, organizations, origin, path, size_bytes, sha256, received_at,"
        " lines, new, duplicate, quarantined, skipped, format, sent_by, sent_sha256, seq_ranges, new_by_day)"
        " SELECT 'stuck', source, organizations, origin, path, 0, '', received_at - interval '1 hour', 0, 0, 0, 0,"
        " 0, format, '', '', '{}', '{}'"
        " FROM billing_segment WHERE id = %s",
        last.pk,
    )
    assert "(stuck)" in offender("nothing_stuck")


def test_what_valkey_was_never_told(key: ApiKey) -> None:
    from hotstate.models import OutboxEntry

    give_credit(key.organization, 1, key="untold", now=NEXT_NOON)
    OutboxEntry.objects.update(created_at=NEXT_NOON - timedelta(hours=1))
    assert "what Valkey is to be told" in offender("nothing_stuck")


def test_a_day_that_is_over_and_open(key: ApiKey) -> None:
    after = closing.end_of(DAY + timedelta(days=1))
    assert "nothing_stuck" not in red(after + timedelta(hours=6))
    assert "2026-03-11, which is over, to be closed" in red(after + timedelta(hours=8))["nothing_stuck"].offender


def test_a_run_of_the_proofs_that_never_ends(key: ApiKey) -> None:
    begun = {"asked_at": NEXT_NOON - timedelta(hours=3), "started_at": NEXT_NOON - timedelta(hours=1)}
    ProofRun.objects.create(**begun, night=DAY)
    assert red() == {}
    run = ProofRun.objects.create(asked_at=NEXT_NOON - timedelta(hours=3))
    assert f"run {run.pk} of the proofs" in offender("nothing_stuck")


def test_a_run_of_the_quarantine_that_never_ends(key: ApiKey) -> None:
    run = QuarantineRun.objects.create(
        action="replay",
        reason="torn",
        through=QuarantinedLine.objects.get(),
        started_at=NEXT_NOON - timedelta(hours=3),
        total=1,
    )
    assert f"run {run.pk} of the quarantine" in offender("nothing_stuck")


def test_credit_that_expired_and_was_never_taken_back(key: ApiKey) -> None:
    give_credit(key.organization, 1, key="lost", expires_at=NEXT_NOON - timedelta(days=1), now=NOON - timedelta(1))
    forget_outbox()
    assert red(NEXT_NOON - timedelta(hours=6)) == {}
    assert "which has expired" in offender("nothing_stuck")
