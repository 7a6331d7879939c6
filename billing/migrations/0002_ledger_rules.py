"""What the database itself refuses: an unbalanced transaction, and any change of what was posted."""

from django.db import migrations

SQL = """
CREATE FUNCTION billing_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint;
    total numeric;
    sides integer;
BEGIN
    IF TG_TABLE_NAME = 'billing_ledgertransaction' THEN checked := NEW.id; ELSE checked := NEW.transaction_id; END IF;
    SELECT coalesce(sum(amount_nanos), 0), count(*) INTO total, sides FROM billing_ledgerentry WHERE transaction_id = checked;
    IF total <> 0 OR sides < 2 THEN
        RAISE EXCEPTION 'ledger transaction %: % entries sum to %, not to zero', checked, sides, total
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER transaction_balances AFTER INSERT ON billing_ledgertransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_transaction_balances();
CREATE CONSTRAINT TRIGGER transaction_balances AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_transaction_balances();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION keymeter_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION keymeter_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_grantburn
    FOR EACH ROW EXECUTE FUNCTION keymeter_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION keymeter_append_only();

CREATE FUNCTION billing_price_version_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.superseded_at IS NULL AND NEW.superseded_at IS NOT NULL
       AND (to_jsonb(NEW) - 'superseded_at') = (to_jsonb(OLD) - 'superseded_at') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'price version % is immutable: publish another, which supersedes it', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_priceversion
    FOR EACH ROW EXECUTE FUNCTION billing_price_version_stands();
"""
REVERSE = """
DROP TRIGGER immutable ON billing_priceversion;
DROP FUNCTION billing_price_version_stands();
DROP TRIGGER append_only ON billing_price;
DROP TRIGGER append_only ON billing_grantburn;
DROP TRIGGER append_only ON billing_ledgerentry;
DROP TRIGGER append_only ON billing_ledgertransaction;
DROP TRIGGER transaction_balances ON billing_ledgerentry;
DROP TRIGGER transaction_balances ON billing_ledgertransaction;
DROP FUNCTION billing_transaction_balances();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("accounts", "0002_append_only")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
