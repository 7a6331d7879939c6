"""Roles of PostgreSQL besides the one that has the tests' tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.db import connection

PASSWORD = "of-the-servers"


@pytest.fixture
def role(transactional_db: None) -> Iterator[str]:
    """A role that may do nothing yet; roles are of the whole server, so its name is of this database."""
    name = f"{connection.settings_dict['NAME']}_servers"
    # Of a run that was killed.
    drop(name)
    run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    drop(name)


@pytest.fixture
def owner(role: str) -> Iterator[str]:
    """The database and all that is in it belong to a role that is no superuser, until the end."""
    superuser, name = connection.settings_dict["USER"], f"{role}_owner"
    drop(name)
    run(f"CREATE ROLE {name}")
    run(f"ALTER DATABASE {connection.settings_dict['NAME']} OWNER TO {name}")
    run(BELONGS_TO.format(owner=name))
    try:
        yield name
    finally:
        run(f"REASSIGN OWNED BY {name} TO {superuser}")
        drop(name)


# What another owns goes along: sequences of identities with their tables.
BELONGS_TO = """
DO $$ DECLARE what text; BEGIN
    FOR what IN
        SELECT format('TABLE %s', oid::regclass) FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relkind IN ('r', 'p')
        UNION ALL SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'SEQUENCE billing_turn'
    LOOP EXECUTE format('ALTER %s OWNER TO {owner}', what); END LOOP;
END $$
"""


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
