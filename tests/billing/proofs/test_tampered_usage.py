"""Usage, its sums, its segments and what became of each line: each row that is tampered with turns its proof red."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from accounts.models import ApiKey
from billing import closing
from billing.closing import close_day
from billing.models import (
    DailyUsage,
    EventCorrection,
    HourlyUsage,
    LedgerTransaction,
    QuarantinedLine,
    Segment,
    SequenceGap,
    UsageEvent,
)
from billing.sequences import explain_gap, note_sequences
from tests.billing.proofs.conftest import DAY, NEXT_NOON, post, red
from tests.billing.proofs.tampering import Tamper, event, offender
from tests.cast import make_user

pytestmark = pytest.mark.usefixtures("right_before")


def test_charges(key: ApiKey, tamper: Tamper) -> None:
    """An event's charge is what sums, ledger and its price say, so all of those see that it changed."""
    changed = event(6)
    tamper("UPDATE billing_usageevent SET charge_nanos = charge_nanos + 1 WHERE id = %s", changed.pk)
    assert f"segment {changed.segment_id}," in offender("charges", "hourly_sums", "rerating")


def test_an_event_that_was_deleted(key: ApiKey, tamper: Tamper) -> None:
    gone = event(7)
    tamper("DELETE FROM billing_usageevent WHERE id = %s", gone.pk)
    assert f"segment {gone.segment_id}," in offender("charges", "hourly_sums", "lines")


def test_an_event_of_a_closed_day(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_usageevent SET charge_nanos = charge_nanos + 1 WHERE id = %s", event(2).pk)
    assert "the events" in offender("closed_days", "charges", "hourly_sums", "rerating")


def test_hourly_sums(key: ApiKey, tamper: Tamper) -> None:
    row = HourlyUsage.objects.filter(kind="usage").latest("hour")
    tamper("UPDATE billing_hourlyusage SET output_tokens = output_tokens + 1 WHERE id = %s", row.pk)
    assert f"key {row.api_key_id}," in offender("hourly_sums", "daily_sums")


def test_daily_sums(key: ApiKey, tamper: Tamper) -> None:
    row = DailyUsage.objects.filter(kind="usage").latest("day")
    tamper("UPDATE billing_dailyusage SET events = events + 1 WHERE id = %s", row.pk)
    assert f"{row.day}: organization {row.organization_id}," in offender("daily_sums")


def test_corrections(key: ApiKey, tamper: Tamper) -> None:
    made = EventCorrection.objects.get()
    tamper("UPDATE billing_eventcorrection SET new_charge_nanos = new_charge_nanos + 1 WHERE id = %s", made.pk)
    assert f"{DAY}: organization {key.organization_id}:" in offender("corrections", "rerating")


def test_a_correction_that_begins_elsewhere(key: ApiKey, tamper: Tamper) -> None:
    made = EventCorrection.objects.get()
    tamper(
        "UPDATE billing_eventcorrection SET old_charge_nanos = old_charge_nanos + 1,"
        " new_charge_nanos = new_charge_nanos + 1 WHERE id = %s",
        made.pk,
    )
    assert str(made.event_id) in offender("corrections", "rerating")


def test_a_correction_that_is_missing_before_it(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_eventcorrection SET number = 2")
    assert "correction 2 begins at" in offender("corrections")


def test_a_correction_that_did_not_reach_the_sums(key: ApiKey, tamper: Tamper) -> None:
    """Neither the hourly nor the daily ones, so that these agree."""
    for table in ("billing_hourlyusage", "billing_dailyusage"):
        tamper(f"UPDATE {table} SET charge_nanos = 0 WHERE kind = 'correction'")
    assert "the sums to 0" in offender("corrections")


def test_a_correction_in_the_ledger_of_another_day(key: ApiKey, tamper: Tamper) -> None:
    made = LedgerTransaction.objects.get(kind="correction")
    tamper("UPDATE billing_ledgertransaction SET event_day = '2026-01-01' WHERE id = %s", made.pk)
    for entry in made.entries.all():
        tamper("UPDATE billing_ledgerentry SET event_day = '2026-01-01' WHERE id = %s", entry.pk)
    assert "the ledger to" in offender("corrections")


def test_a_correction_of_other_units(key: ApiKey, tamper: Tamper) -> None:
    """Of a meter that costs nothing, so that no charge shows it."""
    tamper("""UPDATE billing_eventcorrection SET usage = usage || '{"requests": 3}'""")
    assert "units of the corrections" in offender("corrections")


def test_a_correction_without_its_transaction(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_eventcorrection SET transaction_id = NULL")
    assert "its corrections come to 0" in offender("corrections")


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM billing_closedday WHERE day = %s", "UPDATE billing_closedday SET closed_at = NULL WHERE day = %s"],
)
def test_a_day_that_was_opened_again(key: ApiKey, tamper: Tamper, sql: str) -> None:
    close_day(DAY + timedelta(days=1), closing.end_of(DAY + timedelta(days=1)))
    tamper(sql, DAY)
    assert f"{DAY} has usage and is open" in offender("closed_days", "nothing_stuck")


def test_closed_days(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_closedday SET charge_nanos = charge_nanos + 1 WHERE day = %s", DAY)
    assert str(DAY) in offender("closed_days")


def test_the_sums_of_a_closed_day(key: ApiKey, tamper: Tamper) -> None:
    row = DailyUsage.objects.get(kind="usage", day=DAY)
    tamper("UPDATE billing_dailyusage SET input_tokens = input_tokens + 1 WHERE id = %s", row.pk)
    assert "the daily sums" in offender("closed_days", "daily_sums")


def test_usage_of_a_day_that_nothing_proves(key: ApiKey, tamper: Tamper) -> None:
    usage = LedgerTransaction.objects.get(event_day=DAY, kind="usage")
    tamper("UPDATE billing_ledgertransaction SET event_day = '2026-01-01' WHERE id = %s", usage.pk)
    assert "not as it was closed" in offender("closed_days", "charges", "accounts")


def test_usage_of_an_open_day_that_nothing_proves(key: ApiKey, tamper: Tamper) -> None:
    usage = LedgerTransaction.objects.get(event_day=DAY + timedelta(days=1), kind="usage")
    tamper("UPDATE billing_ledgertransaction SET event_day = '2026-01-01' WHERE id = %s", usage.pk)
    found = offender("closed_days", "charges", "accounts")
    assert found == "2026-01-01 has usage in the ledger, and neither events nor figures of a closed day"


def test_a_line_that_is_in_no_count(key: ApiKey, tamper: Tamper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_segment DROP CONSTRAINT segment_accounts_for_every_line")
    last = Segment.objects.latest("id")
    tamper("UPDATE billing_segment SET lines = lines + 1 WHERE id = %s", last.pk)
    assert f"segment {last.pk} ({last.identity}): 3 lines are 2 new" in offender("lines")


def test_lines(key: ApiKey, tamper: Tamper) -> None:
    line = QuarantinedLine.objects.get()
    tamper("DELETE FROM billing_quarantinedline WHERE id = %s", line.pk)
    assert f"segment {line.segment_id} " in offender("lines")


def test_quarantine(key: ApiKey, tamper: Tamper) -> None:
    """A line that nobody replayed or discarded, and that nobody sees any more."""
    line = QuarantinedLine.objects.get()
    tamper("UPDATE billing_quarantinedline SET resolved_at = now() WHERE id = %s", line.pk)
    assert f"line {line.line} of segment {line.segment_id} is resolved by nothing" in offender("quarantine")


def test_a_line_that_another_segment_resolved(key: ApiKey, tamper: Tamper) -> None:
    line = QuarantinedLine.objects.get()
    other = Segment.objects.earliest("id")
    tamper("UPDATE billing_quarantinedline SET resolved_at = now(), replay_id = %s WHERE id = %s", other.pk, line.pk)
    assert f"segment {other.pk} ({other.identity}) is a replay with 3 lines, and resolved 1" in offender("quarantine")


def test_sequences(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "UPDATE billing_segment SET seq_ranges = '{7, 8}', last_seq = 8, received_at = received_at - interval '1 hour'"
        " WHERE id = %s",
        last.pk,
    )
    assert "gw-test: numbers missing, the first 6 to 6" in offender("sequences")


def test_numbers_that_are_missing_within_a_segment(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "UPDATE billing_segment SET seq_ranges = '{6, 7, 9, 9}', last_seq = 9,"
        " received_at = received_at - interval '1 hour' WHERE id = %s",
        last.pk,
    )
    assert "the first 8 to 8" in offender("sequences")


def test_a_gap_that_a_person_explained_is_none(key: ApiKey) -> None:
    post(key, 10)
    later = NEXT_NOON + timedelta(hours=1)
    assert "the first 8 to 9" in red(later)["sequences"].offender
    note_sequences(later)
    explain_gap(SequenceGap.objects.get(), "Disk lost", actor=make_user("staff@example.com"), now=later)
    assert "sequences" not in red(later)


def test_a_segment_that_was_only_overtaken_is_no_gap(key: ApiKey) -> None:
    post(key, 9)
    assert red() == {}


def test_rerating(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_usageevent SET reason = 'timed_out' WHERE id = %s", event(6).pk)
    assert str(event(6).pk) in offender("rerating")


def test_a_price_that_was_edited(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_price SET amount_nanos = amount_nanos * 2 WHERE meter = 'output_tokens'")
    first = min(UsageEvent.objects.values_list("pk", flat=True), key=UUID.__str__)
    assert str(first) in offender("rerating")
