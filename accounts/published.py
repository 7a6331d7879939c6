"""What Valkey is given of this room after it lost its state, and what is known of it to be there."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from accounts.models import ApiKey, Organization
from hotstate.publish import Record
from hotstate.records import KeyRecord, OrganizationRecord


def records() -> Iterator[Record]:
    """Every organization, and every key that could still be shown."""
    for organization in Organization.objects.iterator(chunk_size=2000):
        yield organization.record()
    keys = ApiKey.objects.select_related("organization").prefetch_related("secrets")
    for key in keys.iterator(chunk_size=2000):
        yield key.record()


def confirm(delivered: Iterable[Record], at: datetime) -> None:
    """Note that Valkey has these versions of keys and organizations: from then on every gateway decides by them."""
    keys: dict[str, int] = {}
    organizations: dict[str, int] = {}
    for record in delivered:
        if isinstance(record, KeyRecord):
            keys[record.key] = max(record.version, keys.get(record.key, 0))
        elif isinstance(record, OrganizationRecord):
            organizations[record.org] = max(record.version, organizations.get(record.org, 0))
    # Sorted, so that two deliveries never wait for each other in a circle.
    for key, version in sorted(keys.items()):
        older_keys = ApiKey.objects.filter(public_id=key, published_version__lt=version)
        older_keys.update(published_version=version, published_at=at)
    for organization, version in sorted(organizations.items()):
        older = Organization.objects.filter(public_id=organization, published_version__lt=version)
        older.update(published_version=version, published_at=at)
