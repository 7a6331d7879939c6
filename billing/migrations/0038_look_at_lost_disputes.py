"""Lost disputes whose money hadn't gone were not looked at again."""

from django.db import migrations

SQL = """
UPDATE billing_dispute SET look_at = closed_at WHERE status = 'lost' AND withdrawn_id IS NULL AND look_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0037_partitions_by_functions")]
    operations = [migrations.RunSQL(SQL, migrations.RunSQL.noop)]
