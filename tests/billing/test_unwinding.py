"""Credit that corrects a charge goes back where the charge took it from; expired credit is taken back once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F, Sum

from accounts.models import Organization
from billing import expiry, ledger
from billing.models import Account, Balance, CreditGrant, GrantBurn, LedgerEntry, TransactionKind
from tests.cast import give_credit, make_organization

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=10)


@pytest.fixture
def organization() -> Organization:
    return make_organization()


def move(organization: Organization, nanos: int, key: str, *, corrects: int | None = None, now: datetime = NOW) -> int:
    terms = ledger.GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20)
    movement = ledger.Movement(
        operation_key=f"{key}:{organization.pk}",
        kind=TransactionKind.CORRECTION if corrects else TransactionKind.USAGE,
        organization_id=organization.pk,
        nanos=nanos,
        counter=Account.REVENUE,
        event_day=now.date(),
        grant=terms if nanos > 0 else None,
        corrects_id=corrects,
    )
    return ledger.post([movement], now=now).transactions[movement.operation_key]


def remaining(organization: Organization) -> dict[str, int]:
    rows = CreditGrant.objects.filter(organization=organization).values_list(
        "transaction__operation_key", "remaining_nanos"
    )
    return {key.split(":")[-1] if key.startswith("test:") else key.split(":")[0]: nanos for key, nanos in rows}


def agrees(organization: Organization) -> bool:
    """Entries, grants, burns and the balance say the same."""
    balance = Balance.objects.get(organization=organization)
    entries = LedgerEntry.objects.filter(organization=organization).aggregate(sum=Sum("amount_nanos"))["sum"]
    grants = CreditGrant.objects.filter(organization=organization)
    left = grants.aggregate(sum=Sum("remaining_nanos", default=0))["sum"]
    torn = grants.annotate(burned=Sum("burns__amount_nanos", default=0)).exclude(
        remaining_nanos=F("amount_nanos") - F("burned")
    )
    return bool(entries == balance.nanos == left - balance.debt_nanos and not torn)


def test_a_correction_gives_back_to_the_grants_that_burned_the_latest_first(organization: Organization) -> None:
    give_credit(organization, 10, key="first", priority=1, now=NOW)
    give_credit(organization, 10, key="second", priority=2, now=NOW)
    charged = move(organization, -15, "usage")
    move(organization, 7, "correction", corrects=charged)
    assert remaining(organization) == {"first": 2, "second": 10}
    assert agrees(organization)
    assert list(GrantBurn.objects.order_by("id").values_list("amount_nanos", flat=True)) == [10, 5, -5, -2]


def test_what_was_given_back_is_not_given_back_twice(organization: Organization) -> None:
    give_credit(organization, 10, key="first", now=NOW)
    charged = move(organization, -10, "usage")
    move(organization, 10, "correction", corrects=charged)
    move(organization, 3, "again", corrects=charged)
    assert remaining(organization) == {"first": 10, "again": 3}
    assert agrees(organization)


def test_a_debt_is_paid_first(organization: Organization) -> None:
    give_credit(organization, 10, key="first", now=NOW)
    charged = move(organization, -10, "usage")
    move(organization, -4, "more")
    move(organization, 9, "correction", corrects=charged)
    assert remaining(organization) == {"first": 5}
    assert Balance.objects.get(organization=organization).debt_nanos == 0
    assert agrees(organization)


def test_what_no_grant_had_paid_becomes_credit_that_stays(organization: Organization) -> None:
    """The charge was a debt, which a later top-up paid."""
    charged = move(organization, -10, "usage")
    give_credit(organization, 30, key="top-up", now=NOW)
    move(organization, 10, "correction", corrects=charged)
    assert remaining(organization) == {"top-up": 20, "correction": 10}
    assert CreditGrant.objects.get(transaction__kind="correction").expires_at is None
    assert agrees(organization)


@pytest.mark.parametrize("swept", [False, True])
def test_an_expired_grant_takes_nothing_back_but_the_customer_keeps_the_money(
    organization: Organization, *, swept: bool
) -> None:
    give_credit(organization, 10, key="first", expires_at=NOW + timedelta(days=1), now=NOW)
    charged = move(organization, -6, "usage")
    # A worker's clock may be behind the one that swept.
    if swept:
        expiry.expire_grants(LATER)
    move(organization, 6, "correction", corrects=charged, now=NOW if swept else LATER)
    assert remaining(organization) == {"first": 0 if swept else 4, "correction": 6}
    assert agrees(organization)


def test_given_back_credit_burns_again_in_its_place(organization: Organization) -> None:
    give_credit(organization, 10, key="first", priority=1, now=NOW)
    give_credit(organization, 10, key="second", priority=2, now=NOW)
    charged = move(organization, -10, "usage")
    move(organization, 10, "correction", corrects=charged)
    move(organization, -4, "more")
    assert remaining(organization) == {"first": 6, "second": 10}
    assert agrees(organization)


def test_credit_and_charges_of_one_posting_see_each_other(organization: Organization) -> None:
    give_credit(organization, 10, key="first", now=NOW)
    charged = move(organization, -10, "usage")
    common = {
        "organization_id": organization.pk,
        "kind": TransactionKind.CORRECTION,
        "counter": Account.REVENUE,
        "event_day": NOW.date(),
        "grant": ledger.GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20),
    }
    back = ledger.Movement(operation_key="back", nanos=5, corrects_id=charged, **common)  # type: ignore[arg-type]
    bonus = ledger.Movement(operation_key="bonus", nanos=2, **common)  # type: ignore[arg-type]
    more = ledger.Movement(operation_key="more", nanos=-6, **common)  # type: ignore[arg-type]
    ledger.post([back, bonus, more], now=NOW)
    assert Balance.objects.get(organization=organization).debt_nanos == 0
    assert agrees(organization)


def test_what_burned_is_given_back_by_one_movement_of_a_posting(organization: Organization) -> None:
    """Of two each would give back all of it."""
    give_credit(organization, 10, key="first", now=NOW)
    charged = move(organization, -10, "usage")
    twice = [
        ledger.Movement(
            operation_key=key,
            nanos=8,
            corrects_id=charged,
            organization_id=organization.pk,
            kind=TransactionKind.CORRECTION,
            counter=Account.REVENUE,
            event_day=NOW.date(),
            grant=ledger.GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20),
        )
        for key in ("one", "two")
    ]
    with pytest.raises(ValueError, match="only one can give back"):
        ledger.post(twice, now=NOW)
    for movement in twice:
        ledger.post([movement], now=NOW)
    assert remaining(organization) == {"first": 10, "two": 6}
    assert agrees(organization)


class TestExpiry:
    def test_what_is_left_of_an_expired_grant_goes_to_breakage_once(self, organization: Organization) -> None:
        give_credit(organization, 10, key="first", expires_at=NOW + timedelta(days=1), now=NOW)
        give_credit(organization, 5, key="stays", now=NOW)
        move(organization, -4, "usage")
        assert expiry.expire_grants(LATER) == 1
        assert expiry.expire_grants(LATER) == 0
        assert remaining(organization) == {"first": 0, "stays": 5}
        assert LedgerEntry.objects.get(account="breakage").amount_nanos == 6
        assert agrees(organization)

    def test_a_grant_is_kept_until_its_last_moment(self, organization: Organization) -> None:
        give_credit(organization, 10, key="first", expires_at=LATER, now=NOW)
        assert expiry.expire_grants(LATER - timedelta(milliseconds=1)) == 0
        assert expiry.expire_grants(LATER) == 1

    def test_a_debt_stays_what_it_is(self, organization: Organization) -> None:
        give_credit(organization, 10, key="first", expires_at=NOW, now=NOW - timedelta(days=1))
        move(organization, -14, "usage")
        expiry.expire_grants(LATER)
        balance = Balance.objects.get(organization=organization)
        assert (balance.credit_nanos, balance.debt_nanos) == (0, 4)
        assert agrees(organization)

    def test_more_grants_than_one_batch_expire(
        self, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(expiry, "BATCH", 2)
        for number in range(5):
            give_credit(organization, 10, key=str(number), expires_at=NOW, now=NOW - timedelta(days=1))
        assert expiry.expire_grants(NOW) == 5
        assert Balance.objects.get(organization=organization).nanos == 0
