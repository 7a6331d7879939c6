"""What the tests that tamper with books share: one row is changed behind the database's back; its proof turns red and
names the row, and only what depends on that row turns red with it."""

from collections.abc import Callable

from billing.models import (
    UsageEvent,
)
from tests.billing.proofs.conftest import red

Tamper = Callable[..., None]


def offender(name: str, *others: str) -> str:
    """The offender of the proof of that name, where exactly it and the others are red."""
    found = red()
    assert set(found) == {name, *others}, found
    return found[name].offender


def event(seq: int) -> UsageEvent:
    return UsageEvent.objects.get(seq=seq)
