from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0002_credential_organizations")]

    operations = [
        migrations.CreateModel(
            name="GatewayProcess",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("name", models.CharField(max_length=80, unique=True)),
                ("host", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
            ],
            options={"verbose_name_plural": "gateway processes"},
        ),
    ]
