"""TRUNCATE fires no row trigger: it needs one of its own. Tests empty their databases with the setting on."""

from django.db import migrations

SQL = """
CREATE FUNCTION keymeter_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('keymeter.allow_truncate', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION keymeter_no_truncate();
"""
REVERSE = """
DROP TRIGGER no_truncate ON accounts_auditentry;
DROP FUNCTION keymeter_no_truncate();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_key_operation_id")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
