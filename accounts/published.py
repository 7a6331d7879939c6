"""What Valkey is given of this room after it lost its state."""

from collections.abc import Iterator

from accounts.models import ApiKey, Organization
from hotstate.publish import Record


def records() -> Iterator[Record]:
    """Every organization, and every key that could still be shown."""
    for organization in Organization.objects.iterator(chunk_size=2000):
        yield organization.record()
    keys = ApiKey.objects.select_related("organization").prefetch_related("secrets")
    for key in keys.iterator(chunk_size=2000):
        yield key.record()
