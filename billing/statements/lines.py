"""The lines of a statement: put together in the database, so that no memory of ours grows with them.

Usage of the period's own days is by model and key, from the daily sums of days that are closed. Late usage and
corrections are by day and reason; everything else is a line per transaction.
"""

from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from billing.meters import INPUT_METERS, OUTPUT_METERS
from billing.models import CreditGrant, Section, Statement
from billing.statements.covered import AMOUNT, SECTION

if TYPE_CHECKING:
    from billing.statements.drawing import Period

CREATE_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS statement_staging (
    section text, day date, text text, transaction_id bigint, model text, api_key text, key_name text,
    events bigint, input_tokens bigint, output_tokens bigint, amount_nanos bigint
) ON COMMIT DELETE ROWS;
TRUNCATE statement_staging
"""
_SOURCES = " ".join(f"WHEN '{value}' THEN '{label}'" for value, label in CreditGrant.Source.choices)
STAGE = f"""
WITH covered AS MATERIALIZED (
    SELECT posted.id, {SECTION.format(first_day="%(first_day)s")} AS section, posted.event_day AS day,
        coalesce(nullif(posted.reason, ''), CASE credit.source {_SOURCES} ELSE '' END) AS text, {AMOUNT} AS nanos
    FROM billing_ledgertransaction AS posted
    JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
    LEFT JOIN billing_creditgrant AS credit ON credit.transaction_id = posted.id
    WHERE posted.organization_id = %(organization_id)s
        AND posted.id >= %(open_from)s AND posted.id <= %(last_transaction)s AND posted.event_day <= %(through)s
        AND NOT (posted.id <= %(stated_transaction)s AND posted.event_day <= %(stated_through)s)
    GROUP BY posted.id, credit.source
), staged AS (
    INSERT INTO statement_staging
    SELECT section, day, text, id, '', '', '', 0, 0, 0, nanos
    FROM covered WHERE section NOT IN ('usage', 'late_usage', 'correction')
    UNION ALL
    SELECT section, day, text, NULL, '', '', '', 0, 0, 0, sum(nanos)
    FROM covered WHERE section IN ('late_usage', 'correction') GROUP BY section, day, text
)
SELECT coalesce(sum(nanos), 0)::bigint, coalesce(sum(nanos) FILTER (WHERE section = 'usage'), 0)::bigint FROM covered
"""  # noqa: S608  (names of ours)
STAGE_USAGE = f"""
WITH used AS (
    SELECT model_id, api_key_id, sum(events) AS events, sum({" + ".join(INPUT_METERS)}) AS input_tokens,
        sum({" + ".join(OUTPUT_METERS)}) AS output_tokens, -sum(charge_nanos) AS nanos
    FROM billing_dailyusage
    WHERE organization_id = %(organization_id)s AND day >= %(first_day)s AND day <= %(through)s AND kind = 'usage'
    GROUP BY 1, 2
), staged AS (
    INSERT INTO statement_staging
    SELECT 'usage', NULL, '', NULL, model.public_id, key.public_id, key.name, events, input_tokens, output_tokens, nanos
    FROM used JOIN catalog_model AS model ON model.id = model_id JOIN accounts_apikey AS key ON key.id = api_key_id
)
SELECT coalesce(sum(nanos), 0)::bigint FROM used
"""  # noqa: S608  (names of ours)
WRITE = """
INSERT INTO billing_statementline (statement_id, place, section, day, text, transaction_id, model, api_key, key_name,
    events, input_tokens, output_tokens, amount_nanos)
SELECT %s, row_number() OVER (
    ORDER BY array_position(%s::text[], section), section, model, key_name, api_key, day, transaction_id, text
), staged.* FROM statement_staging AS staged
"""


class Staged(NamedTuple):
    """How many lines wait to be written and what they come to; and usage as the ledger and as the sums have it."""

    lines: int
    nanos: int
    ledger_nanos: int
    sums_nanos: int


def stage(period: "Period") -> Staged:
    """Put the lines of a period together, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE_STAGING)
        cursor.execute(STAGE, period.parameters)
        nanos, of_ledger = cursor.fetchone()
        cursor.execute(STAGE_USAGE, period.parameters)
        (of_sums,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM statement_staging")
        (count,) = cursor.fetchone()
    return Staged(count, nanos, of_ledger, of_sums)


def write(statement: Statement) -> None:
    """Write what `stage` put together."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [statement.pk, Section.values])
