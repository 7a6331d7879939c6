"""The hold in Valkey has the estimate. The column stays, with a default, for gateways of the version before."""

from django.db import migrations

DEFAULT = "ALTER TABLE gateway_unfinishedwork ALTER COLUMN estimated_tokens SET DEFAULT 0"
NO_DEFAULT = "ALTER TABLE gateway_unfinishedwork ALTER COLUMN estimated_tokens DROP DEFAULT"


class Migration(migrations.Migration):
    dependencies = [("gateway", "0004_unfinished_work")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="unfinishedwork", name="estimated_tokens")],
            database_operations=[migrations.RunSQL(DEFAULT, NO_DEFAULT)],
        ),
    ]
