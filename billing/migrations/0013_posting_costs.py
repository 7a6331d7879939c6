"""What posting pays for at each row: checks of what the worker looked up just then, sums per entry, new index entries."""

import django.db.models.deletion
from django.db import migrations, models

# The entries of one statement, per transaction that they name, instead of all of a transaction's for each entry.
SQL = """
DROP TRIGGER transaction_balances ON billing_ledgerentry;
CREATE FUNCTION billing_entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT transaction_id, sum(amount_nanos) AS total INTO broken
    FROM entered GROUP BY transaction_id HAVING sum(amount_nanos) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction %: entries sum to %, not to zero', broken.transaction_id, broken.total
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entries_balance AFTER INSERT ON billing_ledgerentry
    REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION billing_entries_balance();

-- Each posting updates the hour's and the day's rows: room beside them keeps their indexes as they are.
ALTER TABLE billing_hourlyusage SET (fillfactor = 70);
ALTER TABLE billing_dailyusage SET (fillfactor = 70);
ALTER TABLE billing_balance SET (fillfactor = 70);
ALTER TABLE billing_creditgrant SET (fillfactor = 70);
"""
REVERSE = """
DROP TRIGGER entries_balance ON billing_ledgerentry;
DROP FUNCTION billing_entries_balance();
CREATE CONSTRAINT TRIGGER transaction_balances AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_transaction_balances();
"""


def _unchecked(model: str, field: str, to: str, *, null: bool = False) -> migrations.AlterField:
    return migrations.AlterField(
        model,
        field,
        models.ForeignKey(
            db_constraint=False,
            db_index=False,
            null=null,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="+",
            to=to,
        ),
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_proof_runs")]
    operations = [
        *(
            operation
            for model in ("hourlyusage", "dailyusage")
            for operation in (
                _unchecked(model, "organization", "accounts.organization"),
                _unchecked(model, "api_key", "accounts.apikey"),
                _unchecked(model, "model", "catalog.model"),
                _unchecked(model, "route", "catalog.route", null=True),
            )
        ),
        migrations.RunSQL(SQL, REVERSE),
    ]
