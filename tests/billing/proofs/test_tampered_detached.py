"""What is left of days whose events are detached: each row that is tampered with turns its proof red."""

import pytest
from django.db import connection

from accounts.models import ApiKey
from billing.models import DailyUsage, LedgerTransaction, Segment
from billing.partitions import partition_name
from tests.billing.proofs.conftest import DAY, red
from tests.billing.proofs.tampering import Tamper, event, offender


@pytest.fixture(autouse=True)
def detached(key: ApiKey) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE billing_usageevent DETACH PARTITION {partition_name(DAY)}")
    assert red() == {}


@pytest.fixture
def late(key: ApiKey) -> LedgerTransaction:
    return LedgerTransaction.objects.get(kind="adjustment", event_day=DAY)


@pytest.fixture
def segment(key: ApiKey) -> Segment:
    return Segment.objects.earliest("id")


def test_the_ledger_of_the_day(key: ApiKey, tamper: Tamper) -> None:
    """Money that moved between two segments of a day: no sum of the day shows it, the hash does."""
    usage = LedgerTransaction.objects.get(event_day=DAY, kind="usage")
    other = Segment.objects.exclude(pk=int(usage.operation_key.split(":")[1])).first()
    assert other
    forged = f"usage:{other.pk}:{key.organization_id}:{DAY}-again"
    tamper("UPDATE billing_ledgertransaction SET operation_key = %s WHERE id = %s", forged, usage.pk)
    assert "the ledger" in offender("closed_days")


def test_late_usage_in_the_ledger(late: LedgerTransaction, tamper: Tamper) -> None:
    tamper(
        "UPDATE billing_ledgerentry SET amount_nanos = amount_nanos + 1 WHERE transaction_id = %s"
        " AND account = 'revenue'",
        late.pk,
    )
    found = red()
    assert set(found) == {"closed_days", "transactions"}
    assert (
        "late usage of 9000001 nano-dollars in the ledger, and 9000000 in the daily sums"
        in found["closed_days"].offender
    )


def test_late_usage_in_the_daily_sums(key: ApiKey, late: LedgerTransaction, tamper: Tamper) -> None:
    row = DailyUsage.objects.get(kind="adjustment", day=DAY)
    tamper("UPDATE billing_dailyusage SET charge_nanos = charge_nanos - 1 WHERE id = %s", row.pk)
    assert f"{DAY}, whose events are detached: organization {key.organization_id}:" in offender(
        "closed_days", "daily_sums"
    )


def test_late_usage_that_is_gone_from_the_daily_sums(key: ApiKey, tamper: Tamper) -> None:
    row = DailyUsage.objects.get(kind="adjustment", day=DAY)
    tamper("DELETE FROM billing_dailyusage WHERE id = %s", row.pk)
    assert "and 0 in the daily sums" in offender("closed_days", "daily_sums", "lines")


def test_an_event_of_another_day_that_was_deleted(tamper: Tamper) -> None:
    """That some days' events are detached doesn't excuse it."""
    gone = event(7)
    tamper("DELETE FROM billing_usageevent WHERE id = %s", gone.pk)
    assert f"segment {gone.segment_id} " in offender("lines", "charges", "hourly_sums")


def test_a_segment_that_brought_more_of_the_day(segment: Segment, tamper: Tamper) -> None:
    tamper("UPDATE billing_segment SET new = new + 1, lines = lines + 1 WHERE id = %s", segment.pk)
    assert f"segment {segment.pk} " in offender("lines")


def test_a_segment_that_brought_more_of_the_day_by_its_own_count_too(segment: Segment, tamper: Tamper) -> None:
    tamper(
        "UPDATE billing_segment SET new = new + 1, lines = lines + 1,"
        " new_by_day = jsonb_build_object(%s::text, new + 1) WHERE id = %s",
        str(DAY),
        segment.pk,
    )
    assert f"{DAY}, whose events are detached: segments brought 6, and 5 are in the daily sums" in offender("lines")
    assert red(day=DAY)["lines"]
