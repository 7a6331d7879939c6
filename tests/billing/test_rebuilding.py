"""All usage, computed again from the archive by the same code, is what the books have; nothing of it stays."""

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection

from accounts.models import Alarm, ApiKey
from billing import closing
from billing.correcting import correct
from billing.correction_rules import one_event, void
from billing.intake import receive_segment
from billing.models import LedgerTransaction, PriceVersion, QuarantinedLine, Segment, UsageEvent
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from billing.rebuilding.comparing import compare
from billing.rebuilding.replaying import replay
from billing.rebuilding.scratch import scratch_schema
from billing.superseding import supersede_prices
from hotstate.models import OutboxEntry
from tests.billing.proofs.conftest import tamper
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    usage_line,
)

__all__ = ["tamper"]
pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NEXT_NOON = NOON + timedelta(days=1)


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


def post(*lines: dict[str, Any] | bytes, now: datetime = NEXT_NOON) -> Segment:
    posted = post_segment(make_segment(raw(*lines), now=now).pk, now=now)
    assert posted
    return posted


@pytest.fixture
def key() -> ApiKey:
    """Of an organization with all that makes a difference between then and now."""
    ensure_partitions(DAY, behind=0, ahead=1)
    model = make_model()
    organization = make_organization()
    give_credit(organization, DOLLAR, now=NOON)
    key, _ = make_key(organization)
    twice = usage_line(key, at=NOON, seq=2)
    post(usage_line(key, at=NOON), twice, usage_line(key, "later", at=NOON, seq=3), b'{"torn"')
    post(twice, usage_line(key, at=NOON, seq=4))
    # The model comes, and the quarantined line is replayed.
    make_model("later")
    post(bytes(QuarantinedLine.objects.get(reason="unknown_model").raw))
    closing.close_day(DAY, NEXT_NOON)
    post(usage_line(key, at=NOON, seq=5), now=NEXT_NOON + timedelta(hours=1))
    prices = {"input_tokens": (1, 1), "output_tokens": (1, 1)}
    period = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    supersede_prices(model, prices, *period, actor=None, reason="wrong", now=NEXT_NOON)
    post(usage_line(key, at=NOON, seq=6), now=NEXT_NOON - timedelta(hours=1))
    first = UsageEvent.objects.order_by("seq").first()
    assert first
    correct(one_event(first.pk), void, what="x", reason="y", actor=None, clock=lambda: NEXT_NOON)
    connection.check_constraints()
    return key


def rebuild() -> tuple[dict[str, Any], int]:
    told = StringIO()
    code = 0
    try:
        call_command("rebuild", "--json", stdout=told)
    except SystemExit as exit:
        code = int(exit.code or 0)
    return json.loads(told.getvalue()), code


def red() -> dict[str, str]:
    told, _ = rebuild()
    return {compared["name"]: compared["offender"] for compared in told["compared"] if not compared["ok"]}


def test_what_is_computed_again_is_what_the_books_have(key: ApiKey) -> None:
    told, code = rebuild()
    assert (red(), code) == ({}, 0)
    assert {compared["name"]: compared["checked"] for compared in told["compared"]} == {
        "archive": 5,
        "events": 6,
        "segments": 5,
        "hourly_sums": 3,
        "daily_sums": 3,
        "usage_entries": 5,
        "balances": 1,
    }


def test_nothing_of_it_stays(key: ApiKey, tmp_path: Path, django_capture_on_commit_callbacks: Any) -> None:
    tables = (Segment, UsageEvent, LedgerTransaction, OutboxEntry, Alarm, PriceVersion)
    before = [table.objects.count() for table in tables]  # type: ignore[attr-defined]
    files = sorted(tmp_path.rglob("*.jsonl"))
    with django_capture_on_commit_callbacks() as told:
        rebuild()
    assert told == []
    assert [table.objects.count() for table in tables] == before  # type: ignore[attr-defined]
    assert sorted(tmp_path.rglob("*.jsonl")) == files
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'rebuilt'")
        assert cursor.fetchone()[0] == 0
        cursor.execute("SHOW search_path")
        assert "rebuilt" not in cursor.fetchone()[0]


def test_usage_that_was_changed_is_named(key: ApiKey, tamper: Callable[..., None]) -> None:
    changed = UsageEvent.objects.get(seq=4)
    tamper("UPDATE billing_usageevent SET charge_nanos = charge_nanos + 1 WHERE id = %s", changed.pk)
    assert rebuild()[1] == 1
    assert list(red()) == ["events"]
    assert str(changed.pk) in red()["events"]


def test_every_column_of_an_event_is_compared(key: ApiKey, tamper: Callable[..., None]) -> None:
    """Also what no charge depends on, such as the secret, the status or the number."""
    event = UsageEvent.objects.get(seq=4)
    columns = {str(field.column): field.db_type(connection) for field in UsageEvent._meta.concrete_fields[1:]}
    others = {
        "integer[]": "array_append({0}, 1)",
        "jsonb": """{0} || '{{"requests": 1}}'""",
        "timestamp with time zone": "{0} + interval '1 second'",
        "boolean": "NOT {0}",
    }
    for column, kind in columns.items():
        default = "'other'" if str(kind).startswith("varchar") else "coalesce({0}, 0) + 1"
        other = others.get(str(kind), default).format(column)
        tamper(f"UPDATE billing_usageevent SET {column} = {other} WHERE id = %s", event.pk)
    (names,) = (offender.split("other is: ")[1] for name, offender in red().items() if name == "events")
    assert names.split(", ") == list(columns)


def test_a_quarantined_line_whose_text_was_changed_is_named(key: ApiKey, tamper: Callable[..., None]) -> None:
    torn = QuarantinedLine.objects.get(reason="torn")
    tamper("UPDATE billing_quarantinedline SET raw = raw || '}' WHERE id = %s", torn.pk)
    assert set(red()) == {"archive"}
    assert f"quarantined line {torn.line} isn't what came in" in red()["archive"]


def test_a_quarantined_line_that_never_came_is_named(key: ApiKey, tamper: Callable[..., None]) -> None:
    torn = QuarantinedLine.objects.get(reason="torn")
    tamper("UPDATE billing_quarantinedline SET line = 9 WHERE id = %s", torn.pk)
    assert "quarantined line 9 isn't what came in" in red()["archive"]


def test_usage_that_was_lost_everywhere_is_found(key: ApiKey, tamper: Callable[..., None]) -> None:
    """Consistently, so that no proof can see it: only the archive has it still."""
    gone = UsageEvent.objects.get(seq=6)
    transaction = LedgerTransaction.objects.get(operation_key__startswith=f"usage:{gone.segment_id}:")
    tamper("DELETE FROM billing_usageevent WHERE id = %s", gone.pk)
    tamper("DELETE FROM billing_ledgertransaction WHERE id = %s", transaction.pk)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM billing_ledgerentry WHERE transaction_id = %s", [transaction.pk])
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    tamper(
        "UPDATE billing_balance SET credit_nanos = credit_nanos + %s WHERE organization_id = %s",
        gone.charge_nanos,
        key.organization_id,
    )
    found = red()
    assert set(found) == {"events", "usage_entries", "balances"}
    assert transaction.operation_key in found["usage_entries"]
    assert f"organization {key.organization_id}:" in found["balances"]


def test_a_file_that_is_gone_or_changed_is_named(key: ApiKey) -> None:
    first, second = Segment.objects.order_by("id")[:2]
    storage: Any = storages["archive"]
    storage.delete(first.path)
    path = Path(storage.path(second.path))
    path.write_bytes(path.read_bytes().replace(b'"input_tokens":1000', b'"input_tokens":1001'))
    found = red()
    assert first.identity in found["archive"] and "can't be read" in found["archive"]
    assert "(and 1 more)" in found["archive"] or first.identity in found["archive"]
    assert set(found) >= {"archive", "events", "segments", "balances"}


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_holds_up_neither_postings_nor_closings() -> None:
    """It posts in a schema of its own, on one state of the books, in a transaction that is rolled back."""
    ensure_partitions(DAY, behind=0, ahead=1)
    make_model()
    key, _ = make_key(make_organization())
    post(usage_line(key, at=NOON))
    found = []

    def meanwhile() -> None:
        post(usage_line(key, at=NOON, seq=2))
        found.append(closing.close_day(DAY, NEXT_NOON).events)
        connection.close()

    with scratch_schema() as real:
        replayed = replay(real, lambda _: None)
        worker = Thread(target=meanwhile)
        worker.start()
        worker.join(60)
        compared = compare(real)
    assert found == [2]
    assert replayed.checked == 1
    assert {name: finding.wrong for name, finding in compared.items()} == dict.fromkeys(compared, 0)


class TestWhatTheBooksForgot:
    """As after a restore from an older backup: the sender was told that it came, and has deleted it."""

    @pytest.fixture
    def forgotten(self, key: ApiKey, tamper: Callable[..., None], tmp_path: Path) -> bytes:
        content = raw(usage_line(key, at=NOON, seq=7))
        fields: dict[str, Any] = {"source": "gw-test", "origin": Segment.Origin.GATEWAY, "now": NEXT_NOON}
        lost, _ = receive_segment("gw-test.lost", content, sent_by="edge", **fields)
        tamper("DELETE FROM billing_segment WHERE id = %s", lost.pk)
        for path in (tmp_path / "archive").rglob("*lost*"):
            os.utime(path, (0, 0))
        return content

    def test_rebuild_names_it(self, forgotten: bytes) -> None:
        assert "gw-test.lost.jsonl is archived, and the books don't know it" in red()["archive"]

    def test_it_is_registered_as_it_was_and_posted(self, forgotten: bytes) -> None:
        told = StringIO()
        call_command("register_archived", stdout=told)
        assert told.getvalue().splitlines()[0].endswith("/gw-test.lost.jsonl")
        assert not Segment.objects.filter(identity="gw-test.lost").exists()
        call_command("register_archived", "--post", stdout=told)
        again = Segment.objects.get(identity="gw-test.lost")
        assert (again.source, again.sent_by, again.received_at) == ("gw-test", "edge", NEXT_NOON)
        assert (again.origin, again.size_bytes) == ("gateway", len(forgotten))
        assert post_segment(again.pk, now=NEXT_NOON)
        assert UsageEvent.objects.filter(seq=7).exists()
        assert red() == {}

    def test_one_that_is_another_than_came_in_is_refused(self, forgotten: bytes, tmp_path: Path) -> None:
        (path,) = (tmp_path / "archive").rglob("*lost.jsonl")
        path.write_bytes(b"{}")
        os.utime(path, (0, 0))
        told = StringIO()
        call_command("register_archived", "--post", stdout=StringIO(), stderr=told)
        assert "isn't what came in" in told.getvalue()
        assert not Segment.objects.filter(identity="gw-test.lost").exists()
