"""Which version of our count made an estimated event."""

from django.db import migrations

ADD = "ALTER TABLE billing_usageevent ADD COLUMN estimator smallint NOT NULL DEFAULT 0"
DROP = "ALTER TABLE billing_usageevent DROP COLUMN estimator"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_implausible_lines")]
    operations = [migrations.RunSQL(ADD, DROP)]
