"""Where grants can't bind a role, `migrate` gives it none."""

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import ProgrammingError, connection

from billing.application_role import grant_to
from billing.models import Balance
from tests.billing.roles import drop, role, run, signed_in_as

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["role"]


def test_a_role_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="no role 'nobody'"):
        grant_to("nobody")


def test_the_owner_itself() -> None:
    with pytest.raises(CommandError, match="who owns the tables"):
        grant_to(connection.settings_dict["USER"])


@pytest.mark.parametrize("may", ["SUPERUSER", "CREATEROLE"])
def test_one_that_no_grants_bind(role: str, may: str) -> None:
    run(f"ALTER ROLE {role} {may}")
    with pytest.raises(CommandError, match="is a superuser"):
        grant_to(role)


def test_a_member_of_the_owner_that_inherits_nothing(role: str) -> None:
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
def test_a_right_of_everybody(role: str, right: str, found: str) -> None:
    run(f"GRANT {right} TO PUBLIC")
    try:
        with pytest.raises(CommandError, match=f"may change {found} all the same"):
            grant_to(role)
        with signed_in_as(role), pytest.raises(ProgrammingError, match="permission denied"):
            Balance.objects.count()
    finally:
        run(f"REVOKE {right} FROM PUBLIC")


def test_a_right_of_a_group_whose_rights_it_does_not_inherit(role: str) -> None:
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


def test_a_table_of_somebody_else(role: str) -> None:
    owner = connection.settings_dict["USER"]
    run(f"ALTER TABLE billing_topup OWNER TO {role}")
    try:
        with pytest.raises(CommandError, match="doesn't own billing_topup"):
            grant_to(role)
    finally:
        run(f"ALTER TABLE billing_topup OWNER TO {owner}")


def test_a_schema_in_which_names_would_be_looked_for_first(role: str, settings: Any) -> None:
    settings.DATABASE_APPLICATION_ROLE = role
    run(f'CREATE SCHEMA "{connection.settings_dict["USER"]}" AUTHORIZATION {role}')
    with pytest.raises(CommandError, match="by the name of the role that migrates"):
        call_command("migrate", verbosity=0)
