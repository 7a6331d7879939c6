"""What is posted for a quarantined line that is replayed as it is."""

from collections.abc import Callable

from billing.adapters import again
from billing.batches import finder
from billing.models import QuarantinedLine


def rereader() -> Callable[[QuarantinedLine], bytes]:
    """Give what reads lines once more: a record of a foreign format that couldn't be read, say."""
    find_key = finder()

    def reread(line: QuarantinedLine) -> bytes:
        return again(bytes(line.raw), line.segment.source, find_key)

    return reread
