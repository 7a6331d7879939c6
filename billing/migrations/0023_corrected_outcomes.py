from django.db import migrations, models

OUTCOMES = [
    ("completed", "Completed"),
    ("client_disconnected", "Client disconnected"),
    ("upstream_error", "Upstream error"),
    ("refused", "Refused by the upstream"),
    ("timeout", "Timed out"),
    ("hold_exhausted", "Balance used up"),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_quarantine_of_differing_lines")]

    operations = [
        migrations.AddField(
            model_name="eventcorrection",
            name="outcome",
            field=models.CharField(blank=True, choices=OUTCOMES, default="", max_length=20),
            preserve_default=False,
        ),
    ]
