"""Where another role migrates, the servers' own does all their work, and changes nothing that is kept."""

from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from psycopg import sql

from billing.application_role import APPEND_ONLY, grant_to
from billing.closing import close_day
from billing.correcting import correct
from billing.correction_rules import one_event, void
from billing.models import Balance, LedgerEntry, UsageEvent
from billing.partitions import detach_old, ensure_partitions, partition_days, partition_name
from billing.posting import post_segment
from billing.secret_use import forget_before
from billing.statements.drawing import draw
from billing.superseding import supersede_prices
from catalog.models import Model
from tests.billing.proofs.conftest import DAY, NEXT_NOON, NOON, make_books, red
from tests.billing.roles import other, owner, refused, role, run, signed_in_as
from tests.cast import DOLLAR, give_credit, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["owner", "role"]


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


def test_migrate_gives_the_named_role_what_the_servers_need(role: str, settings: Any) -> None:
    settings.DATABASE_APPLICATION_ROLE = role
    call_command("migrate", verbosity=0)
    with signed_in_as(role):
        for model in apps.get_models(include_auto_created=True):
            assert model._default_manager.count() >= 0, model


def test_the_servers_do_their_work_as_that_role(role: str, empty_valkey: Any) -> None:
    """Credit, payments, refunds, plans, postings, corrections, statements, days opened and closed, proofs, rebuilds."""
    grant_to(role)
    with signed_in_as(role):
        key = make_books()
        # What comes again goes another way than what is new.
        again = raw(*(usage_line(key, at=NEXT_NOON, seq=seq) for seq in (8, 9)))
        for _ in range(2):
            assert post_segment(make_segment(again, now=NEXT_NOON).pk, now=NEXT_NOON)
        prices = {"input_tokens": (1, 1), "output_tokens": (1, 1)}
        period = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
        supersede_prices(Model.objects.get(), prices, *period, actor=None, reason="wrong", now=NEXT_NOON)
        event = UsageEvent.objects.order_by("-seq").first()
        assert event
        correct(one_event(event.pk), void, what="x", reason="y", actor=None, clock=lambda: NEXT_NOON)
        give_credit(key.organization, DOLLAR, key="by the servers", now=NEXT_NOON)
        draw(key.organization, DAY, now=NEXT_NOON)
        forget_before(NOON)
        assert red() == {}
        told = StringIO()
        call_command("rebuild", "--json", stdout=told)
        assert '"ok": true' in told.getvalue()


def test_days_are_made_closed_and_detached_as_that_role(role: str) -> None:
    grant_to(role)
    with signed_in_as(role):
        ensure_partitions(DAY, behind=1, ahead=1)
        assert {DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)} <= partition_days()
        close_day(DAY, NEXT_NOON)
        assert detach_old(DAY + timedelta(days=30), keep_days=5) == [DAY]
    with other(role) as servers:
        for day in (DAY, DAY + timedelta(days=1)):
            assert "permission denied" in refused(servers, f"SELECT FROM {partition_name(day)}")
            assert "permission denied" in refused(servers, f"UPDATE {partition_name(day)} SET charge_nanos = 0")


def test_an_owner_that_is_no_superuser_is_enough(role: str, owner: str) -> None:
    run(f"SET ROLE {owner}")
    grant_to(role)
    run("RESET ROLE")
    with signed_in_as(role):
        key = make_books()
        post_segment(make_segment(raw(usage_line(key, at=NEXT_NOON, seq=20)), now=NEXT_NOON).pk, now=NEXT_NOON)
        close_day(DAY, NEXT_NOON)
        assert detach_old(DAY + timedelta(days=30), keep_days=5) == [DAY]


def test_a_day_that_is_not_closed_is_detached_by_no_trick(role: str) -> None:
    grant_to(role)
    ensure_partitions(DAY, behind=0, ahead=0)
    with signed_in_as(role), pytest.raises(IntegrityError, match="is not closed"), transaction.atomic():
        run("CREATE TEMP TABLE billing_closedday AS SELECT '2026-03-10'::date AS day, now() AS closed_at")
        run("SET LOCAL search_path = pg_temp, public")
        run("SELECT public.billing_detach_partition('2026-03-10')")
    assert DAY in partition_days()


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(9999, 12, 31)])
def test_a_day_that_no_id_has_gets_no_partition(day: date) -> None:
    with pytest.raises(Exception, match="ids have no such day"):
        ensure_partitions(day, behind=0, ahead=0)


def test_what_is_kept_cannot_be_changed_even_with_its_triggers_off(role: str) -> None:
    grant_to(role)
    with other() as owner, other(role) as servers:
        servers.execute("SET keymeter.allow_truncate = on")
        for table, written_later in APPEND_ONLY.items():
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            try:
                for column in names(
                    owner, "attname", f"pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
                ):
                    change = f"UPDATE {table} SET {column} = {column}"
                    if column in written_later:
                        servers.execute(change)
                    else:
                        assert "permission denied" in refused(servers, change)
                assert "permission denied" in refused(servers, f"DELETE FROM {table}")
                assert "permission denied" in refused(servers, f"TRUNCATE {table} CASCADE")
            finally:
                owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


def test_what_keeps_it_cannot_be_taken_off(role: str) -> None:
    grant_to(role)
    with other() as owner, other(role) as servers:
        for table in APPEND_ONLY:
            triggers = names(owner, "tgname", f"pg_trigger WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal")
            for statement in (
                f"ALTER TABLE {table} DISABLE TRIGGER USER",
                f"ALTER TABLE {table} ADD COLUMN more integer",
                f"DROP TABLE {table}",
                *(f"DROP TRIGGER {name} ON {table}" for name in triggers),
            ):
                assert "must be owner" in refused(servers, statement)
        assert "permission denied" in refused(servers, "SET session_replication_role = replica")


def names(opened: psycopg.Connection[Any], column: str, of: str) -> list[str]:
    return [row[0] for row in opened.execute(f"SELECT {column} FROM {of}").fetchall()]


def test_what_triggers_protect_is_what_grants_protect() -> None:
    """Events have no triggers: their table is made to be fast, and only its owner could change them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
            # Before an update, a delete or a truncation.
            " WHERE NOT tgisinternal AND tgtype & 2 <> 0 AND tgtype & (8 | 16 | 32) <> 0"
        )
        assert {row[0] for row in cursor.fetchall()} == APPEND_ONLY.keys() - {UsageEvent._meta.db_table}


def test_what_was_granted_before_is_taken_away(role: str) -> None:
    run(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {role}")
    run(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}")
    run(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
    grant_to(role)
    ensure_partitions(DAY, behind=0, ahead=0)
    with other(role) as servers:
        for table in (partition_name(DAY), *(partition_name(day) for day in partition_days())):
            assert "permission denied" in refused(servers, f"DELETE FROM {table}")
        assert "permission denied" in refused(servers, f"DELETE FROM {LedgerEntry._meta.db_table}")
        assert "permission denied" in refused(servers, "DELETE FROM django_migrations")
        assert "permission denied" in refused(servers, "SELECT setval('billing_turn', 1)")


def test_granting_again_changes_nothing(role: str) -> None:
    grant_to(role)
    grant_to(role)
    with signed_in_as(role):
        assert Balance.objects.count() == 0


def test_a_name_is_quoted(transactional_db: None) -> None:
    name = 'Servers "of" us'
    quoted = sql.Identifier(name).as_string()
    run(f"CREATE ROLE {quoted}")
    try:
        grant_to(name)
    finally:
        run(f"DROP OWNED BY {quoted}")
        run(f"DROP ROLE {quoted}")
