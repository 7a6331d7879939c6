"""An organization with money, and what tests of plans ask of the books."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Organization, User
from billing import ledger
from billing.models import Account, Balance, CreditGrant, TransactionKind
from billing.proofs.proving import Result, prove
from tests.cast import DOLLAR, give_credit, make_organization

START = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)


@pytest.fixture
def organization(transactional_db: None, empty_valkey: Any) -> Organization:
    organization = make_organization(now=START)
    give_credit(organization, 100 * DOLLAR, now=START)
    return organization


@pytest.fixture
def owner(organization: Organization) -> User:
    return organization.memberships.get().user


@pytest.fixture(autouse=True)
def _books_are_right(transactional_db: None) -> Iterator[None]:
    """Whatever a test did: all that is proved of money and plans holds."""
    yield
    assert wrong(datetime(2027, 1, 1, tzinfo=UTC)) == []


def wrong(now: datetime) -> list[Result]:
    """What isn't proved; these tests close no days."""
    return [result for result in prove(now) if not result.ok and result.name != "nothing_stuck"]


def use(organization: Organization, nanos: int, *, now: datetime, key: str) -> None:
    """Charge as usage is charged, without events: to an account that no proof compares with events."""
    movement = ledger.Movement(
        operation_key=f"use:{organization.pk}:{key}",
        kind=TransactionKind.ADJUSTMENT,
        organization_id=organization.pk,
        nanos=-nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
    )
    ledger.post([movement], now=now)


def balance_of(organization: Organization) -> int:
    return Balance.objects.get(organization=organization).nanos


def plan_credit(organization: Organization) -> int:
    """What is left of credit that came with plans."""
    grants = CreditGrant.objects.filter(organization=organization, source=CreditGrant.Source.PLAN)
    return sum(grants.values_list("remaining_nanos", flat=True))
