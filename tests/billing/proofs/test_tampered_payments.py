"""Payments: each row that is tampered with turns its proof red."""

import pytest

from accounts.models import ApiKey
from billing.models import (
    TopUp,
)
from tests.billing.proofs.tampering import Tamper, offender

pytestmark = pytest.mark.usefixtures("right_before")


def test_top_ups(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET amount = amount + 1 WHERE id = %s", paid.pk)
    assert f"top-up {paid.public_id}: 2501 cents (usd) were paid" in offender("top_ups")


def test_a_top_up_in_another_currency(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_topup SET currency = 'jpy' WHERE id = %s", TopUp.objects.get().pk)
    assert "(jpy)" in offender("top_ups")


def test_a_payment_that_the_ledger_does_not_have(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET payment_intent = 'pi_other' WHERE id = %s", paid.pk)
    found = offender("top_ups")
    assert f"top-up {paid.public_id} is paid (pi_other)" in found
    assert "1 more" in found


def test_credit_that_nobody_paid(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("DELETE FROM billing_topup WHERE id = %s", paid.pk)
    assert f"transaction {paid.transaction_id} " in offender("top_ups")


def test_a_payment_that_went_to_another_organization(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET organization_id = %s WHERE id = %s", key.organization_id, paid.pk)
    assert f"top-up {paid.public_id} was credited to organization {paid.organization_id}" in offender("top_ups")
