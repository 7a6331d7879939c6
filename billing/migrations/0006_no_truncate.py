"""What was posted can't be emptied away either."""

from django.db import migrations

TABLES = (
    "billing_ledgertransaction",
    "billing_ledgerentry",
    "billing_grantburn",
    "billing_price",
    "billing_priceversion",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_estimator"), ("accounts", "0005_no_truncate")]
    operations = [
        migrations.RunSQL(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION keymeter_no_truncate()",
            f"DROP TRIGGER no_truncate ON {table}",
        )
        for table in TABLES
    ]
