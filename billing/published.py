"""What Valkey is given of this room after it lost its state."""

from collections.abc import Iterator

from billing.models import Balance
from hotstate.publish import Record
from hotstate.records import BalanceRecord


def records() -> Iterator[Record]:
    """Every balance. What keys with budgets have spent is loaded by the first decision on each."""
    for balance in Balance.objects.select_related("organization").iterator(chunk_size=2000):
        yield BalanceRecord(org=balance.organization.public_id, version=balance.version, nanos=balance.nanos)
