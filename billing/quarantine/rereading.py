"""What is posted for a quarantined line that is replayed as it is."""

from collections.abc import Callable

from billing.adapters import again
from billing.batches import finder
from billing.models import QuarantinedLine, QuarantineReason
from billing.quarantine.own_event import as_own_event


def rereader() -> Callable[[QuarantinedLine], bytes]:
    """Give what reads lines once more: a record of a foreign format that couldn't be read, say.

    A line that differs from the event that has its id becomes an event of its own.
    """
    find_key = finder()

    def reread(line: QuarantinedLine) -> bytes:
        if line.reason == QuarantineReason.DIFFERS:
            return as_own_event(bytes(line.raw))
        return again(bytes(line.raw), line.segment.source, find_key)

    return reread
