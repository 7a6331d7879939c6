"""Sums are BIGINTs. Where one is full, its organization's lines wait, and everybody else's are posted."""

from collections.abc import Iterable

from django.db import DataError, connection
from psycopg.errors import NumericValueOutOfRange

from billing.rollups import MEASURES

# What one segment may add is less than what is left above that: 300,000 lines of $10,000.
NEARLY = 5 * 10**18

_GREATEST = f"greatest({', '.join(MEASURES)})"
NEARLY_FULL = f"""
SELECT organization_id FROM billing_hourlyusage WHERE organization_id = ANY(%(of)s) AND {_GREATEST} > %(nearly)s
UNION
SELECT organization_id FROM billing_dailyusage WHERE organization_id = ANY(%(of)s) AND {_GREATEST} > %(nearly)s
UNION
SELECT organization_id FROM billing_balance
WHERE organization_id = ANY(%(of)s) AND greatest(credit_nanos, debt_nanos) > %(nearly)s
"""  # noqa: S608


def overflowed(error: DataError) -> bool:
    """Whether a number was too great for its column."""
    return isinstance(error.__cause__, NumericValueOutOfRange)


def nearly_full(organization_ids: Iterable[int]) -> frozenset[int]:
    """Those of which a sum or the balance may not hold what another segment adds."""
    with connection.cursor() as cursor:
        cursor.execute(NEARLY_FULL, {"of": list(organization_ids), "nearly": NEARLY})
        return frozenset(pk for (pk,) in cursor.fetchall())
