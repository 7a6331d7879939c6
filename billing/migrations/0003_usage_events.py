"""Usage events, partitioned by id: a UUIDv7 carries its day, so the primary key is the id alone."""

from django.db import migrations

SQL = """
CREATE TABLE billing_usageevent (
    id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    organization_id bigint NOT NULL,
    api_key_id bigint NOT NULL,
    secret_id bigint,
    model_id bigint NOT NULL,
    route_id bigint,
    segment_id bigint NOT NULL,
    line integer NOT NULL,
    source text NOT NULL,
    seq bigint NOT NULL,
    endpoint text NOT NULL,
    status smallint NOT NULL,
    outcome text NOT NULL,
    stream boolean NOT NULL,
    estimated boolean NOT NULL,
    variant text NOT NULL,
    duration_ms integer,
    ttft_ms integer,
    attempts smallint NOT NULL,
    upstream_request_id text NOT NULL,
    usage jsonb NOT NULL,
    price_version_id bigint,
    multipliers integer[] NOT NULL,
    charge_nanos bigint NOT NULL CHECK (charge_nanos >= 0),
    reason text NOT NULL,
    kind text NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX billing_usageevent_organization ON billing_usageevent (organization_id, id DESC);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger_rules")]
    operations = [migrations.RunSQL(SQL, "DROP TABLE billing_usageevent")]
