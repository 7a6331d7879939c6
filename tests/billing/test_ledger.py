"""Money moves through one door, balances, and stays as posted."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Organization
from billing import ledger
from billing.models import Account, Balance, CreditGrant, GrantBurn, LedgerEntry, LedgerTransaction, TransactionKind
from tests.cast import DOLLAR, give_credit, make_organization

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def charge(organization: Organization, nanos: int, key: str = "usage") -> None:
    movement = ledger.Movement(
        operation_key=f"{key}:{organization.pk}",
        kind=TransactionKind.USAGE,
        organization_id=organization.pk,
        nanos=-nanos,
        counter=Account.REVENUE,
        event_day=NOW.date(),
    )
    ledger.post([movement], now=NOW)


def sums(organization: Organization) -> dict[str, int]:
    rows = LedgerEntry.objects.filter(organization=organization).values_list("account").annotate(Sum("amount_nanos"))
    return {account: int(nanos) for account, nanos in rows}


@pytest.mark.django_db
class TestPosting:
    def test_credit_becomes_a_grant_and_a_balance(self) -> None:
        organization = make_organization()
        give_credit(organization, 5 * DOLLAR, now=NOW)
        balance = Balance.objects.get(organization=organization)
        assert (balance.nanos, balance.credit_nanos, balance.debt_nanos) == (5 * DOLLAR, 5 * DOLLAR, 0)
        assert CreditGrant.objects.get().remaining_nanos == 5 * DOLLAR

    def test_the_same_operation_posts_once(self) -> None:
        organization = make_organization()
        give_credit(organization, DOLLAR, now=NOW)
        give_credit(organization, DOLLAR, now=NOW)
        assert Balance.objects.get(organization=organization).nanos == DOLLAR
        assert LedgerTransaction.objects.count() == 1

    def test_a_charge_burns_by_priority_then_expiry_then_id(self) -> None:
        organization = make_organization()
        give_credit(organization, 10, key="last", priority=90, now=NOW)
        give_credit(organization, 10, key="never", priority=10, now=NOW)
        give_credit(organization, 10, key="later", priority=10, expires_at=NOW + timedelta(days=9), now=NOW)
        give_credit(organization, 10, key="soon", priority=10, expires_at=NOW + timedelta(days=1), now=NOW)
        charge(organization, 25)
        keys = GrantBurn.objects.order_by("id").values_list("grant__transaction__operation_key", "amount_nanos")
        assert [(key.split(":")[-1], nanos) for key, nanos in keys] == [("soon", 10), ("later", 10), ("never", 5)]

    def test_an_expired_grant_burns_until_it_is_taken_back(self) -> None:
        """What it was admitted on may be usage from before."""
        organization = make_organization()
        give_credit(organization, 10, expires_at=NOW, now=NOW - timedelta(days=1))
        charge(organization, 4)
        balance = Balance.objects.get(organization=organization)
        assert (balance.credit_nanos, balance.debt_nanos) == (6, 0)

    def test_what_credit_cannot_cover_is_a_debt_which_the_next_credit_pays(self) -> None:
        organization = make_organization()
        give_credit(organization, 10, now=NOW)
        charge(organization, 25)
        assert sums(organization) == {"receivable": -15, "customer_credit": 0}
        give_credit(organization, 20, key="second", now=NOW)
        balance = Balance.objects.get(organization=organization)
        assert (balance.credit_nanos, balance.debt_nanos) == (5, 0)
        assert CreditGrant.objects.order_by("id").last().remaining_nanos == 5  # type: ignore[union-attr]

    def test_usage_is_charged_whatever_the_balance(self) -> None:
        organization = make_organization()
        charge(organization, ledger.LARGEST_BALANCE)
        charge(organization, DOLLAR, key="more")
        assert Balance.objects.get(organization=organization).debt_nanos == ledger.LARGEST_BALANCE + DOLLAR

    def test_credit_beyond_the_largest_balance_is_refused(self) -> None:
        organization = make_organization()
        give_credit(organization, ledger.LARGEST_BALANCE, now=NOW)
        with pytest.raises(ledger.BalanceTooLarge):
            give_credit(organization, 1, key="more", now=NOW)
        assert Balance.objects.get(organization=organization).nanos == ledger.LARGEST_BALANCE

    def test_credit_without_terms_is_a_mistake(self) -> None:
        organization = make_organization()
        movement = ledger.Movement(
            operation_key="x",
            kind=TransactionKind.GRANT,
            organization_id=organization.pk,
            nanos=1,
            counter=Account.PROMOTIONS,
            event_day=NOW.date(),
        )
        with pytest.raises(ValueError, match="terms"):
            ledger.post([movement], now=NOW)


@pytest.mark.django_db
class TestTheDatabaseRefuses:
    @pytest.mark.parametrize("table", ["billing_ledgerentry", "billing_ledgertransaction", "billing_grantburn"])
    @pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET id = id"])
    def test_changes_of_what_was_posted(self, table: str, statement: str) -> None:
        organization = make_organization()
        give_credit(organization, 10, now=NOW)
        charge(organization, 5)
        with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(statement.format(table))

    @pytest.mark.parametrize(
        "table",
        [
            "accounts_auditentry",
            "billing_ledgertransaction",
            "billing_ledgerentry",
            "billing_grantburn",
            "billing_price",
            "billing_priceversion",
        ],
    )
    @pytest.mark.parametrize("setting", ["off", ""])
    def test_emptying_what_was_posted(self, table: str, setting: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('keymeter.allow_truncate', %s, true)", [setting])
            with pytest.raises(IntegrityError, match="append-only: TRUNCATE refused"):
                cursor.execute(f"TRUNCATE {table} CASCADE")

    def test_a_transaction_that_does_not_balance(self) -> None:
        organization = make_organization()
        give_credit(organization, 10, now=NOW)
        with pytest.raises(IntegrityError, match="not to zero"), transaction.atomic():
            LedgerEntry.objects.create(
                transaction=LedgerTransaction.objects.get(),
                account=Account.REVENUE,
                amount_nanos=1,
                event_day=NOW.date(),
                posted_at=NOW,
            )
            connection.check_constraints()

    def test_a_transaction_without_entries(self) -> None:
        with pytest.raises(IntegrityError, match="0 entries"), transaction.atomic():
            LedgerTransaction.objects.create(
                operation_key="empty", kind=TransactionKind.USAGE, event_day=NOW.date(), posted_at=NOW
            )
            connection.check_constraints()


moves = st.lists(st.tuples(st.booleans(), st.integers(1, 10**15), st.integers(0, 3)), max_size=12)


class AnyHistory(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(moves)
    def test_balance_entries_and_grants_agree(self, history: list[tuple[bool, int, int]]) -> None:
        organization = make_organization()
        names = count()
        expected = 0
        for is_credit, nanos, priority in history:
            if is_credit:
                give_credit(organization, nanos, key=str(next(names)), priority=priority, now=NOW)
            else:
                charge(organization, nanos, key=f"usage-{next(names)}")
            expected += nanos if is_credit else -nanos
        balance = Balance.objects.filter(organization=organization).first() or Balance()
        remaining = CreditGrant.objects.aggregate(sum=Sum("remaining_nanos", default=0))["sum"]
        by_account = sums(organization)
        self.assertEqual(balance.credit_nanos - balance.debt_nanos, expected)
        self.assertEqual(by_account.get("customer_credit", 0), balance.credit_nanos)
        self.assertEqual(by_account.get("receivable", 0), -balance.debt_nanos)
        self.assertEqual(remaining, balance.credit_nanos)
        self.assertEqual(LedgerEntry.objects.aggregate(sum=Sum("amount_nanos", default=0))["sum"], 0)
