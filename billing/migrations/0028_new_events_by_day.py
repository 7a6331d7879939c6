from django.db import migrations, models

# From the events. Nobody has detached any before this.
FILL = """
UPDATE billing_segment SET new_by_day = days FROM (
    SELECT segment_id, jsonb_object_agg(day, events) AS days FROM (
        SELECT segment_id, (time AT TIME ZONE 'UTC')::date AS day, count(*) AS events
        FROM billing_usageevent GROUP BY 1, 2
    ) AS by_day GROUP BY 1
) AS counted WHERE segment_id = id
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0027_refunds_and_disputes")]

    operations = [
        migrations.AddField(model_name="segment", name="new_by_day", field=models.JSONField(blank=True, default=dict)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
