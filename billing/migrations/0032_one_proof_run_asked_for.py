from django.db import migrations, models

# Of those that were asked for at the same moment the first one stays.
FIRST = """
DELETE FROM billing_proofrun AS run USING billing_proofrun AS first
WHERE run.finished_at IS NULL AND run.night IS NULL AND first.finished_at IS NULL AND first.night IS NULL
    AND run.day IS NOT DISTINCT FROM first.day AND run.id > first.id
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0031_payment_differences")]

    operations = [
        migrations.RunSQL(FIRST, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="proofrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at", None), ("night", None)),
                fields=("day",),
                name="one_proof_run_asked_for",
                nulls_distinct=False,
            ),
        ),
    ]
