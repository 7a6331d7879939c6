"""The ledger: each row that is tampered with turns its proof red."""

import pytest
from django.db import connection

from accounts.models import ApiKey
from billing.models import (
    CreditGrant,
    GrantBurn,
    LedgerTransaction,
)
from tests.billing.proofs.conftest import NEXT_NOON, forget_outbox
from tests.billing.proofs.tampering import Tamper, offender
from tests.cast import give_credit

pytestmark = pytest.mark.usefixtures("right_before")


def test_transactions(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(kind="grant", reason="", operation_key__endswith=":large").entries.get(
        account="promotions"
    )
    tamper("UPDATE billing_ledgerentry SET amount_nanos = amount_nanos + 1 WHERE id = %s", entry.pk)
    assert f"transaction {entry.transaction_id} " in offender("transactions")


def test_a_transaction_that_lost_its_entries(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(kind="expiry").entries.get(account="breakage")
    tamper("DELETE FROM billing_ledgerentry WHERE id = %s", entry.pk)
    assert "1 entries" in offender("transactions")


def test_balances(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_balance SET credit_nanos = credit_nanos + 1 WHERE organization_id = %s", key.organization_id)
    assert f"organization {key.organization_id}:" in offender("balances", "grants")


def test_a_balance_and_its_debt_that_differ_by_the_same(key: ApiKey, tamper: Tamper) -> None:
    """What a customer has is right, and yet the books aren't."""
    tamper(
        "UPDATE billing_balance SET credit_nanos = credit_nanos + 1, debt_nanos = debt_nanos + 1"
        " WHERE organization_id = %s",
        key.organization_id,
    )
    assert f"organization {key.organization_id}:" in offender("balances", "grants")


def test_an_entry_of_a_customer(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="customer_credit")
    tamper("UPDATE billing_ledgerentry SET amount_nanos = amount_nanos - 1 WHERE id = %s", entry.pk)
    assert f"organization {key.organization_id}:" in offender("balances", "transactions", "accounts")


def test_money_under_another_account(key: ApiKey, tamper: Tamper) -> None:
    """No sum of an organization or of usage shows it, and revenue would be more than what was charged."""
    for kind, account in (("grant", "promotions"), ("expiry", "breakage"), ("fee", "fees")):
        entry = LedgerTransaction.objects.filter(kind=kind).earliest("id").entries.get(account=account)
        for other in ("revenue", "cash_stripe"):
            tamper("UPDATE billing_ledgerentry SET account = %s WHERE id = %s", other, entry.pk)
            assert f"isn't its kind's: {other}" in offender("accounts")
        tamper("UPDATE billing_ledgerentry SET account = %s WHERE id = %s", account, entry.pk)


def test_accounts_that_were_swapped_between_credit_and_debt(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="customer_credit")
    tamper("UPDATE billing_ledgerentry SET account = 'receivable' WHERE id = %s", entry.pk)
    assert "changed credit by 0" in offender("accounts", "balances")


def test_a_burn_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    """What burned is recorded, and a refund unwinds what was recorded."""
    burn = GrantBurn.objects.filter(transaction__kind="usage").earliest("id")
    other = LedgerTransaction.objects.filter(kind="usage").exclude(pk=burn.transaction_id).latest("id")
    tamper("UPDATE billing_grantburn SET transaction_id = %s WHERE id = %s", other.pk, burn.pk)
    assert "changed credit by" in offender("accounts")


def test_a_grant_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    grant = CreditGrant.objects.get(transaction__operation_key__endswith=":large")
    other = LedgerTransaction.objects.filter(kind="usage").latest("id")
    tamper("UPDATE billing_creditgrant SET transaction_id = %s WHERE id = %s", other.pk, grant.pk)
    assert "changed credit by" in offender("accounts")


def test_a_transaction_of_another_organization(key: ApiKey, tamper: Tamper) -> None:
    other = CreditGrant.objects.exclude(organization=key.organization).earliest("id").organization_id
    posted = LedgerTransaction.objects.get(operation_key__endswith=":large")
    tamper("UPDATE billing_ledgertransaction SET organization_id = %s WHERE id = %s", other, posted.pk)
    assert f"transaction {posted.pk} " in offender("accounts")


def test_an_entry_of_another_day(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="promotions")
    tamper("UPDATE billing_ledgerentry SET event_day = '2026-01-01' WHERE id = %s", entry.pk)
    assert f"transaction {entry.transaction_id} " in offender("accounts")


def test_a_correction_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    made = LedgerTransaction.objects.get(kind="correction")
    tamper("UPDATE billing_ledgertransaction SET corrects_id = NULL WHERE id = %s", made.pk)
    assert f"transaction {made.pk} corrects" in offender("corrections")
    foreign = LedgerTransaction.objects.exclude(organization=key.organization).earliest("id")
    tamper("UPDATE billing_ledgertransaction SET corrects_id = %s WHERE id = %s", foreign.pk, made.pk)
    assert f"one of organization {foreign.organization_id}" in offender("accounts", "corrections")


def test_grants(key: ApiKey, tamper: Tamper) -> None:
    grant = CreditGrant.objects.filter(remaining_nanos__gt=0).latest("id")
    tamper("UPDATE billing_creditgrant SET remaining_nanos = remaining_nanos - 1 WHERE id = %s", grant.pk)
    assert f"organization {key.organization_id}:" in offender("grants", "burns")


def test_a_negative_grant(key: ApiKey, tamper: Tamper) -> None:
    """Beside another of the same organization that has so much more, so that both come to the balance."""
    give_credit(key.organization, 1, key="another", now=NEXT_NOON)
    forget_outbox()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_creditgrant DROP CONSTRAINT grant_remainder_in_bounds")
    lesser, greater, *_ = CreditGrant.objects.filter(organization=key.organization, remaining_nanos__gt=0).order_by(
        "-id"
    )
    move = "UPDATE billing_creditgrant SET remaining_nanos = remaining_nanos + %s WHERE id = %s"
    tamper(move, -2, lesser.pk)
    tamper(move, 2, greater.pk)
    assert f"organization {key.organization_id}: a grant has -1 nano-dollars left" in offender("grants", "burns")


def test_burns(key: ApiKey, tamper: Tamper) -> None:
    burn = GrantBurn.objects.latest("id")
    tamper("UPDATE billing_grantburn SET amount_nanos = amount_nanos + 1 WHERE id = %s", burn.pk)
    assert f"grant {burn.grant_id} " in offender("burns", "accounts")
