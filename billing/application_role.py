"""What the role may do that the servers sign in as, where another role owns the tables and migrates them.

Triggers keep the books from mistakes; a role that owns a table can take its triggers off. One that doesn't own it
can't, and can't change a row of it either.
"""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from accounts.models import AuditEntry
from billing.models import LedgerEntry, UsageEvent

# Rows are added and stay. Of some a few columns are written later, once: which values, their triggers say.
APPEND_ONLY: dict[str, tuple[str, ...]] = {
    AuditEntry._meta.db_table: (),
    UsageEvent._meta.db_table: (),
    "billing_closedday": ("closed_at", "events", "charge_nanos", "charges_hash", "sums_hash"),
    "billing_correction": (),
    "billing_eventcorrection": (),
    "billing_grantburn": (),
    LedgerEntry._meta.db_table: (),
    "billing_ledgertransaction": (),
    "billing_organizationterms": (),
    "billing_planversion": (),
    "billing_price": (),
    "billing_priceversion": ("superseded_at", "until_number"),
    "billing_routecost": ("superseded_at",),
    "billing_routecostline": (),
    "billing_statement": (),
    "billing_statementline": (),
    "billing_subscriptionevent": (),
    "billing_subscriptionperiod": ("cut_at",),
}
READ_ONLY = MigrationRecorder.Migration._meta.db_table
SEQUENCES = ("billing_turn",)
FUNCTIONS = ("billing_make_partition(date)", "billing_detach_partition(date)")


@transaction.atomic
def grant_to(role: str) -> None:
    """Give that role what the servers need and take all else from it; whoever reads meanwhile sees no gap.

    Raises CommandError, and changes nothing, where there is no such role, or where it could change what is kept all the
    same: as a superuser, as the owner or a member of it, by a right of everybody or of another role.
    """
    schema, owner = _schema_and_owner()
    _refuse_one_that_owns(role, owner)
    names, sequences = _owned(schema, owner, "rpvm"), _owned(schema, owner, "S")
    if others := _others(schema, names):
        raise CommandError(
            f"DATABASE_APPLICATION_ROLE: {owner!r}, who owns the ledger, doesn't own {', '.join(others)}. ALTER TABLE"
            " … OWNER TO that role, then migrate again."
        )
    with connection.cursor() as cursor:
        for statement in (
            # Also of partitions, which are never named: the rights on the parent are enough.
            "REVOKE ALL ON {tables} FROM {role}",
            "REVOKE ALL ON SEQUENCE {all_sequences} FROM {role}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON TABLES FROM {role}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {role}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON SEQUENCES FROM {role}",
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} REVOKE ALL ON SEQUENCES FROM {role}",
            "REVOKE ALL ON SCHEMA {schema} FROM {role}",
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            # Staging tables, and the schema in which `rebuild` computes usage again.
            "GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {database} TO {role}",
            "GRANT USAGE ON SEQUENCE {sequences} TO {role}",
            "GRANT EXECUTE ON FUNCTION {functions} TO {role}",
            *_rights_on(names),
        ):
            cursor.execute(
                sql.SQL(statement).format(
                    role=sql.Identifier(role),
                    owner=sql.Identifier(owner),
                    schema=sql.Identifier(schema),
                    database=sql.Identifier(connection.settings_dict["NAME"]),
                    tables=sql.SQL(", ").join(sql.Identifier(schema, name) for name in names),
                    all_sequences=sql.SQL(", ").join(sql.Identifier(schema, name) for name in sequences),
                    sequences=sql.SQL(", ".join(SEQUENCES)),
                    functions=sql.SQL(", ".join(FUNCTIONS)),
                )
            )
    _check(role, schema, names)


def refuse_planted_schema() -> None:
    """Raises CommandError where somebody else has a schema of the migrating role's name: unqualified names, as those in
    migrations are, would be looked for there first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = current_user"
            " AND pg_get_userbyid(nspowner) <> current_user"
        )
        if found := cursor.fetchone():
            raise CommandError(
                f"DATABASE_APPLICATION_ROLE: {found[0]!r} has a schema by the name of the role that migrates, in which"
                " PostgreSQL looks first. Look what it is for, DROP it, then migrate again."
            )


def _others(schema: str, names: list[str]) -> list[str]:
    """The tables of models that are there and aren't among these."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relname = ANY(%s) ORDER BY relname",
            [sql.Identifier(schema).as_string(), sorted(_of_models() - set(names))],
        )
        return [row[0] for row in cursor.fetchall()]


def _of_models() -> set[str]:
    """Neither partitions nor what else somebody keeps beside them."""
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)}


def _rights_on(names: list[str]) -> list[str]:
    used = sorted(_of_models().intersection(names) - APPEND_ONLY.keys())
    added = {name: "".join(f", UPDATE ({column})" for column in later) for name, later in APPEND_ONLY.items()}
    return [
        f'GRANT SELECT ON "{READ_ONLY}" TO {{role}}',
        *(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{name}" TO {{role}}' for name in used),
        *(f'GRANT SELECT, INSERT{update} ON "{name}" TO {{role}}' for name, update in added.items()),
    ]


def _schema_and_owner() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname, pg_get_userbyid(relowner) FROM pg_class"
            " JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = %s::regclass",
            [LedgerEntry._meta.db_table],
        )
        schema, owner = cursor.fetchone()
    return schema, owner


def _refuse_one_that_owns(role: str, owner: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcreaterole OR pg_has_role(rolname, %s, 'MEMBER') FROM pg_roles WHERE rolname = %s", [owner, role]
        )
        found = cursor.fetchone()
    if found is None:
        raise CommandError(f"DATABASE_APPLICATION_ROLE: there is no role {role!r}. CREATE ROLE it, then migrate again.")
    if found[0]:
        raise CommandError(
            f"DATABASE_APPLICATION_ROLE: {role!r} is a superuser, may make roles, or acts as {owner!r}, who owns the"
            " tables: no grants can bind it. Name a role that is none of these."
        )


def _owned(schema: str, owner: str, kinds: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = ANY(%s::"char"[])'
            " AND relowner = %s::regrole ORDER BY relname",
            [sql.Identifier(schema).as_string(), list(kinds), sql.Identifier(owner).as_string()],
        )
        return [row[0] for row in cursor.fetchall()]


# As whom a role may act besides itself, whether or not it inherits their rights; PUBLIC's are everybody's.
_CHANGEABLE = """
WITH acting AS (SELECT oid FROM pg_roles WHERE pg_has_role(%(role)s, oid, 'MEMBER')),
kept AS (SELECT name, format('%%I.%%I', %(schema)s::text, name)::regclass AS id FROM unnest(%(kept)s::text[]) AS name)
SELECT DISTINCT name FROM kept, acting
WHERE has_table_privilege(acting.oid, kept.id, 'DELETE, TRUNCATE, TRIGGER') OR EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = kept.id AND attnum > 0 AND NOT attisdropped
    AND has_column_privilege(acting.oid, attrelid, attnum, 'UPDATE') AND NOT name || '.' || attname = ANY(%(later)s)
)
UNION ALL SELECT 'schema ' || %(schema)s::text FROM acting
WHERE has_schema_privilege(acting.oid, %(schema)s::text, 'CREATE')
UNION ALL SELECT name FROM unnest(%(sequences)s::text[]) AS name, acting
WHERE has_sequence_privilege(acting.oid, format('%%I.%%I', %(schema)s::text, name), 'UPDATE')
ORDER BY 1
"""


def _check(role: str, schema: str, names: list[str]) -> None:
    """What was granted is what holds: other ways to a right are none that we could take away."""
    kept = [name for name in names if name in APPEND_ONLY or name.startswith(f"{UsageEvent._meta.db_table}_")]
    later = [f"{table}.{column}" for table, columns in APPEND_ONLY.items() for column in columns]
    asked: dict[str, Any] = {"role": role, "schema": schema, "kept": kept, "later": later, "sequences": list(SEQUENCES)}
    with connection.cursor() as cursor:
        cursor.execute(_CHANGEABLE, asked)
        if changeable := sorted({row[0] for row in cursor.fetchall()}):
            raise CommandError(
                f"DATABASE_APPLICATION_ROLE: {role!r} may change {', '.join(changeable)} all the same, by a right of"
                " PUBLIC or of a role that it is a member of. Revoke that, then migrate again."
            )
        database = connection.settings_dict["NAME"]
        cursor.execute(
            "SELECT has_database_privilege(%(role)s, %(name)s, 'TEMPORARY')"
            " AND has_database_privilege(%(role)s, %(name)s, 'CREATE')",
            {"role": role, "name": database},
        )
        if not cursor.fetchone()[0]:
            raise CommandError(
                f"DATABASE_APPLICATION_ROLE: the owner of the database has to run GRANT TEMPORARY, CREATE ON DATABASE"
                f" {database} TO {role}, then migrate again."
            )
