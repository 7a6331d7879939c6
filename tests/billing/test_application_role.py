"""Where another role migrates, the servers' own does all their work, and changes nothing that is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, ProgrammingError, connection, transaction
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
from tests.cast import DOLLAR, give_credit, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "of-the-servers"


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def role(transactional_db: None) -> Iterator[str]:
    """A role that may do nothing yet; roles are of the whole server, so its name is of this database."""
    name = f"{connection.settings_dict['NAME']}_servers"
    # Of a run that was killed.
    drop(name)
    run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    drop(name)


def drop(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            return
    run(f"DROP OWNED BY {role}")
    run(f"DROP ROLE {role}")


def run(statement: str) -> None:
    """By the owner of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def signed_in_as(role: str) -> Iterator[None]:
    """Within it all connections are that role's; without the tests' own leave to empty tables."""
    servers = {"USER": role, "PASSWORD": PASSWORD}
    options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "options"}
    _close()
    with patch.dict(connection.settings_dict, servers | {"OPTIONS": options}):
        try:
            yield
        finally:
            _close()


def _close() -> None:
    connection.close()
    connection.close_pool()


@contextmanager
def other(role: str = "") -> Iterator[psycopg.Connection[Any]]:
    """A connection of one's own, of that role or the owner's."""
    of = connection.settings_dict
    who = {"user": role, "password": PASSWORD} if role else {"user": of["USER"], "password": of["PASSWORD"]}
    with psycopg.connect(host=of["HOST"], port=of["PORT"], dbname=of["NAME"], autocommit=True, **who) as opened:
        yield opened


def refused(opened: psycopg.Connection[Any], statement: str) -> str:
    """What the database says against it."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as error:
        opened.execute(statement)
    return str(error.value).splitlines()[0]


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


class TestRefusals:
    def test_a_role_that_is_not_there(self) -> None:
        with pytest.raises(CommandError, match="no role 'nobody'"):
            grant_to("nobody")

    def test_the_owner_itself(self) -> None:
        with pytest.raises(CommandError, match="who owns the tables"):
            grant_to(connection.settings_dict["USER"])

    @pytest.mark.parametrize("may", ["SUPERUSER", "CREATEROLE"])
    def test_one_that_no_grants_bind(self, role: str, may: str) -> None:
        run(f"ALTER ROLE {role} {may}")
        with pytest.raises(CommandError, match="is a superuser"):
            grant_to(role)

    def test_a_member_of_the_owner_that_inherits_nothing(self, role: str) -> None:
        run(f"ALTER ROLE {role} NOINHERIT")
        run(f"GRANT {connection.settings_dict['USER']} TO {role}")
        with pytest.raises(CommandError, match="acts as"):
            grant_to(role)

    @pytest.mark.parametrize(
        ("right", "found"),
        [
            ("DELETE ON accounts_auditentry", "accounts_auditentry"),
            ("UPDATE (amount_nanos) ON billing_ledgerentry", "billing_ledgerentry"),
            ("CREATE ON SCHEMA public", "schema public"),
            ("UPDATE ON SEQUENCE billing_turn", "billing_turn"),
        ],
    )
    def test_a_right_of_everybody(self, role: str, right: str, found: str) -> None:
        run(f"GRANT {right} TO PUBLIC")
        try:
            with pytest.raises(CommandError, match=f"may change {found} all the same"):
                grant_to(role)
            with signed_in_as(role), pytest.raises(ProgrammingError, match="permission denied"):
                Balance.objects.count()
        finally:
            run(f"REVOKE {right} FROM PUBLIC")

    def test_a_right_of_a_group_whose_rights_it_does_not_inherit(self, role: str) -> None:
        group = f"{role}_group"
        drop(group)
        run(f"CREATE ROLE {group}")
        try:
            run(f"GRANT DELETE ON billing_ledgerentry TO {group}")
            run(f"ALTER ROLE {role} NOINHERIT")
            run(f"GRANT {group} TO {role}")
            with pytest.raises(CommandError, match="may change billing_ledgerentry all the same"):
                grant_to(role)
        finally:
            drop(group)

    def test_a_table_of_somebody_else(self, role: str) -> None:
        owner = connection.settings_dict["USER"]
        run(f"ALTER TABLE billing_topup OWNER TO {role}")
        try:
            with pytest.raises(CommandError, match="doesn't own billing_topup"):
                grant_to(role)
        finally:
            run(f"ALTER TABLE billing_topup OWNER TO {owner}")

    def test_a_schema_in_which_names_would_be_looked_for_first(self, role: str, settings: Any) -> None:
        settings.DATABASE_APPLICATION_ROLE = role
        run(f'CREATE SCHEMA "{connection.settings_dict["USER"]}" AUTHORIZATION {role}')
        with pytest.raises(CommandError, match="by the name of the role that migrates"):
            call_command("migrate", verbosity=0)


def test_a_name_is_quoted(transactional_db: None) -> None:
    name = 'Servers "of" us'
    quoted = sql.Identifier(name).as_string()
    run(f"CREATE ROLE {quoted}")
    try:
        grant_to(name)
    finally:
        run(f"DROP OWNED BY {quoted}")
        run(f"DROP ROLE {quoted}")
