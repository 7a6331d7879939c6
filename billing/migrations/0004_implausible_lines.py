from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0003_usage_events"),
    ]

    operations = [
        migrations.AlterField(
            model_name="quarantinedline",
            name="reason",
            field=models.CharField(
                choices=[
                    ("torn", "Torn line"),
                    ("malformed", "Malformed line"),
                    ("unknown_key", "Unknown API key"),
                    ("wrong_organization", "The key belongs to another organization"),
                    ("unknown_model", "Unknown model"),
                    ("unpriced", "No price in force"),
                    ("wrong_source", "Not the sender's source"),
                    ("implausible", "A charge that no request can have"),
                    ("too_early", "More than five minutes ahead"),
                    ("too_old", "Older than the oldest partition"),
                ],
                max_length=20,
            ),
        ),
    ]
