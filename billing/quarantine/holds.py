"""A line that is discarded is charged to nobody: what was set aside for it is free again."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from accounts.models import ApiKey
from billing import ledger
from billing.archived import settled_holds
from billing.models import QuarantinedLine, QuarantineReason
from billing.settled import Settled

# What such a line names may be somebody else's.
NOT_THEIRS = (
    QuarantineReason.WRONG_SOURCE,
    QuarantineReason.WRONG_ORGANIZATION,
    QuarantineReason.FOREIGN_ORGANIZATION,
)


def release_holds(lines: Iterable[QuarantinedLine], now: datetime) -> None:
    """Take away the holds of the requests that these lines tell of. Runs in the caller's transaction."""
    holds = list(settled_holds(bytes(line.raw) for line in lines if line.reason not in NOT_THEIRS))
    keys = ApiKey.objects.filter(public_id__in={hold.key for hold in holds})
    organizations = {
        (key, org): pk for key, org, pk in keys.values_list("public_id", "organization__public_id", "organization")
    }
    settled: dict[int, Settled] = defaultdict(Settled)
    for hold in holds:
        if pk := organizations.get((hold.key, hold.org)):
            settled[pk].add(UUID(hold.request_id))
    if settled:
        ledger.post([], now=now, settled=settled)
