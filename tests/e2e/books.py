"""What the running stack's database says, read from outside of it."""

from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.devstack.stack import Stack
from tests.waiting import wait_until

SUMS = {
    "events": "SELECT coalesce(sum(charge_nanos), 0)::bigint FROM billing_usageevent",
    "hourly": "SELECT coalesce(sum(charge_nanos), 0)::bigint FROM billing_hourlyusage",
    "daily": "SELECT coalesce(sum(charge_nanos), 0)::bigint FROM billing_dailyusage",
    "ledger": "SELECT coalesce(sum(amount_nanos), 0)::bigint FROM billing_ledgerentry WHERE account = 'revenue'",
}
# Each must have no row.
BROKEN = {
    "a transaction doesn't sum to zero": (
        "SELECT transaction_id FROM billing_ledgerentry GROUP BY 1 HAVING sum(amount_nanos) <> 0"
    ),
    "a balance isn't the sum of its entries": """
        SELECT organization_id FROM billing_balance JOIN billing_ledgerentry USING (organization_id)
        GROUP BY organization_id, nanos HAVING sum(amount_nanos) <> nanos""",
    "grants less debt aren't the balance": """
        SELECT b.organization_id FROM billing_balance b JOIN billing_creditgrant g USING (organization_id)
        GROUP BY b.organization_id, b.debt_nanos, b.nanos HAVING sum(g.remaining_nanos) - b.debt_nanos <> b.nanos""",
    "a segment lost a line": (
        "SELECT id FROM billing_segment WHERE posted_at IS NOT NULL AND lines <> new + duplicate + quarantined"
    ),
    "a source's numbers have a gap": """
        SELECT source FROM billing_usageevent GROUP BY source HAVING max(seq) - min(seq) + 1 <> count(*)""",
    "a line is quarantined": "SELECT id FROM billing_quarantinedline WHERE reason <> 'torn'",
    "a charge differs": "SELECT id FROM accounts_alarm WHERE kind = 'charge_differs'",
}


def query(stack: Stack, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(stack.database_url, connect_timeout=5)) as connection:
        return connection.execute(sql, parameters).fetchall()


def _has_lines(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        # Closed, or shipped, since it was listed.
        return False


def assert_settled(stack: Stack, *, seconds: float = 60) -> int:
    """Wait until nothing waits, then check that the books agree. Returns what was charged in all, in nano-dollars."""

    def nothing_waits() -> bool:
        spooled = [path for path in (stack.var / "spool").rglob("*.jsonl") if _has_lines(path)]
        try:
            waiting = query(
                stack,
                "SELECT (SELECT count(*) FROM billing_segment WHERE posted_at IS NULL)"
                " + (SELECT count(*) FROM hotstate_outboxentry)",
            )
        except psycopg.OperationalError:
            return False
        return not spooled and waiting == [(0,)]

    wait_until(nothing_waits, "all usage to be posted", within=seconds)
    sums = {name: query(stack, sql)[0][0] for name, sql in SUMS.items()}
    assert len(set(sums.values())) == 1, sums
    for what, sql in BROKEN.items():
        assert query(stack, sql) == [], what
    charged: int = sums["events"]
    return charged
