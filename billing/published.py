"""What Valkey is given of this room after it lost its state."""

from collections.abc import Iterator

from billing.models import Balance, UsageEvent
from hotstate.publish import Record
from hotstate.records import BalanceRecord


def posted(request_ids: list[str]) -> set[str]:
    """Those of these requests that are in the books."""
    found = UsageEvent.objects.filter(pk__in=request_ids).values_list("pk", flat=True)
    return {str(pk) for pk in found}


def records() -> Iterator[Record]:
    """Every balance. What keys with budgets have spent is loaded by the first decision on each."""
    for balance in Balance.objects.select_related("organization").iterator(chunk_size=2000):
        yield BalanceRecord(org=balance.organization.public_id, version=balance.version, nanos=balance.nanos)
