import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_model_life_cycle")]

    operations = [
        migrations.AddField(
            model_name="route",
            name="weight",
            field=models.PositiveSmallIntegerField(
                default=1,
                help_text="Its share of the requests among routes of the same priority.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="route",
            name="priority",
            field=models.PositiveSmallIntegerField(default=10, help_text="The lowest is tried first."),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__gte", 1), ("weight__lte", 1000)), name="route_weight_plausible"
            ),
        ),
        migrations.AddField(
            model_name="upstream",
            name="idle_seconds",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Then the next route is tried, or the client told. Empty: UPSTREAM_IDLE_SECONDS.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="seconds that it may be silent",
            ),
        ),
        migrations.AddField(
            model_name="upstream",
            name="most_at_once",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Of each gateway process; more go to the next route. Empty: any number.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="requests at once",
            ),
        ),
    ]
