"""What only the owner of the events' table may do, for a role that isn't: make a day's partition, detach a closed day's."""

from django.db import migrations

SQL = """
CREATE FUNCTION billing_make_partition(of_day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    bounds uuid[];
BEGIN
    IF of_day NOT BETWEEN DATE '1970-01-01' AND DATE '9998-12-31' THEN
        RAISE EXCEPTION 'no partition for %: ids have no such day', of_day USING ERRCODE = 'datetime_field_overflow';
    END IF;
    -- A UUIDv7 begins with its Unix milliseconds, in 48 bits.
    SELECT array_agg(rpad(lpad(to_hex((day - DATE '1970-01-01') * 86400000::bigint), 12, '0'), 32, '0')::uuid ORDER BY day)
    INTO bounds FROM unnest(ARRAY[of_day, of_day + 1]) AS day;
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF billing_usageevent FOR VALUES FROM (%L) TO (%L)',
        pg_catalog.to_char(of_day::timestamp, '"billing_usageevent_"YYYYMMDD'), bounds[1], bounds[2]);
END $$;
CREATE FUNCTION billing_detach_partition(of_day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_closedday WHERE day = of_day AND closed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'day % is not closed: its events stay', of_day USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    EXECUTE format('ALTER TABLE billing_usageevent DETACH PARTITION %I',
        pg_catalog.to_char(of_day::timestamp, '"billing_usageevent_"YYYYMMDD'));
END $$;
REVOKE ALL ON FUNCTION billing_make_partition(date), billing_detach_partition(date) FROM PUBLIC;
-- Whoever calls them can't put tables or functions of their own before ours.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION billing_make_partition(date) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION billing_detach_partition(date) SET search_path = %I, pg_temp', current_schema());
END $$;
"""
REVERSE = "DROP FUNCTION billing_detach_partition(date); DROP FUNCTION billing_make_partition(date);"


class Migration(migrations.Migration):
    dependencies = [("billing", "0036_plan_promises")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
