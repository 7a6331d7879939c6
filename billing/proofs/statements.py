"""Statements close and chain: each opens with what the one before closed with, and covers what the ledger has."""

from billing.proofs.shape import Extent, Finding, Proof, look
from billing.statements.covered import AMOUNT, SECTION

CHAIN = """
SELECT CASE WHEN number <> place OR opening_nanos <> coalesce(before, 0) OR gap
        OR closing_nanos <> opening_nanos + coalesce(nanos, 0) OR line_count <> coalesce(lines, 0) THEN
    format('statement %%s of organization %%s: opens with %%s nano-dollars after %%s, has %%s of %%s lines that come to'
        ' %%s, and closes with %%s', number, organization_id, opening_nanos, coalesce(before, 0), coalesce(lines, 0),
        line_count, coalesce(nanos, 0), closing_nanos) END AS wrong
FROM (
    SELECT *, row_number() OVER one AS place, lag(closing_nanos) OVER one AS before,
        coalesce(first_day <> lag(through) OVER one + 1, false)
            OR coalesce(last_transaction < lag(last_transaction) OVER one, false) AS gap
    FROM billing_statement WINDOW one AS (PARTITION BY organization_id ORDER BY number)
) AS statement
LEFT JOIN (
    SELECT statement_id, count(*) AS lines, sum(amount_nanos) AS nanos FROM billing_statementline GROUP BY 1
) AS lines ON lines.statement_id = statement.id
WHERE %(day)s::date IS NULL OR %(day)s BETWEEN first_day AND through
"""
# Of each transaction the first statement that reaches it, by id and by day.
COVERED = f"""
SELECT CASE WHEN of_lines.nanos IS DISTINCT FROM of_ledger.nanos THEN
    format('statement %%s of organization %%s: %%s come to %%s nano-dollars, and to %%s in the ledger', number,
        organization_id, section, coalesce(of_lines.nanos, 0), coalesce(of_ledger.nanos, 0)) END AS wrong
FROM (
    SELECT statement_id, section, sum(amount_nanos) AS nanos FROM billing_statementline
    GROUP BY 1, 2 HAVING sum(amount_nanos) <> 0
) AS of_lines
FULL JOIN (
    SELECT statement_id, section, sum(nanos) AS nanos FROM (
        SELECT statement.id AS statement_id, {SECTION.format(first_day="statement.first_day")} AS section,
            {AMOUNT} AS nanos
        FROM billing_ledgertransaction AS posted
        JOIN billing_ledgerentry AS entry ON entry.transaction_id = posted.id
        JOIN LATERAL (
            SELECT id, first_day FROM billing_statement
            WHERE organization_id = posted.organization_id AND last_transaction >= posted.id
                AND through >= posted.event_day
            ORDER BY number LIMIT 1
        ) AS statement ON true
        GROUP BY posted.id, statement.id, statement.first_day
    ) AS covered GROUP BY 1, 2 HAVING sum(nanos) <> 0
) AS of_ledger USING (statement_id, section)
JOIN billing_statement AS statement ON statement.id = statement_id
WHERE %(day)s::date IS NULL OR %(day)s BETWEEN first_day AND through
"""  # noqa: S608  (names of ours)
USAGE = """
SELECT CASE WHEN of_lines.events IS DISTINCT FROM of_sums.events OR of_lines.nanos IS DISTINCT FROM of_sums.nanos THEN
    format('statement %%s of organization %%s: key %%s, model %%s: %%s requests for %%s nano-dollars, and %%s for %%s'
        ' in the daily sums', number, organization_id, api_key, model, coalesce(of_lines.events, 0),
        coalesce(of_lines.nanos, 0), coalesce(of_sums.events, 0), coalesce(of_sums.nanos, 0)) END AS wrong
FROM (
    SELECT statement_id, model, api_key, sum(events) AS events, -sum(amount_nanos) AS nanos
    FROM billing_statementline WHERE section = 'usage' GROUP BY 1, 2, 3
) AS of_lines
FULL JOIN (
    SELECT statement.id AS statement_id, model.public_id AS model, key.public_id AS api_key, sum(events) AS events,
        sum(charge_nanos) AS nanos
    FROM billing_dailyusage AS used
    JOIN billing_statement AS statement ON statement.organization_id = used.organization_id
        AND used.day BETWEEN statement.first_day AND statement.through
    JOIN catalog_model AS model ON model.id = used.model_id JOIN accounts_apikey AS key ON key.id = used.api_key_id
    WHERE kind = 'usage' GROUP BY 1, 2, 3
) AS of_sums USING (statement_id, model, api_key)
JOIN billing_statement AS statement ON statement.id = statement_id
WHERE %(day)s::date IS NULL OR %(day)s BETWEEN first_day AND through
"""


def _check(extent: Extent) -> Finding:
    # Statements are what one counts.
    found = look(CHAIN, extent.parameters)
    for sql in (COVERED, USAGE):
        more = look(sql, extent.parameters)
        found += Finding(0, more.wrong, more.offender)
    return found


PROOFS = [
    Proof(
        "statements",
        "Statements close and chain: each opens with what the one before closed with, and has what the ledger has.",
        _check,
    )
]
