"""Payments: each row that is tampered with turns its proof red."""

from datetime import timedelta

import pytest

from accounts.models import ApiKey
from billing.models import Dispute, Refund, TopUp
from tests.billing.proofs.conftest import NOON, forget_outbox, red
from tests.billing.proofs.tampering import Tamper, offender
from tests.cast import make_dispute

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
    assert f"top-up {paid.public_id} was credited to organization {paid.organization_id}" in offender(
        "top_ups", "refunds", "disputes"
    )


def test_refunds(key: ApiKey, tamper: Tamper) -> None:
    made = Refund.objects.get(state="done")
    tamper("UPDATE billing_refund SET amount = amount + 1 WHERE id = %s", made.pk)
    assert f"refund {made.public_id}: 501 cents" in offender("refunds")


def test_a_refund_that_the_ledger_does_not_have(key: ApiKey, tamper: Tamper) -> None:
    made = Refund.objects.get(state="done")
    tamper("UPDATE billing_refund SET transaction_id = 999999 WHERE id = %s", made.pk)
    found = offender("refunds")
    assert f"refund {made.public_id} names transaction 999999" in found
    assert "1 more" in found


def test_a_refund_that_nobody_made(key: ApiKey, tamper: Tamper) -> None:
    made = Refund.objects.get(state="done")
    tamper("DELETE FROM billing_refund WHERE id = %s", made.pk)
    assert f"transaction {made.transaction_id} " in offender("refunds")


def test_a_refund_that_took_from_another_organization(key: ApiKey, tamper: Tamper) -> None:
    made = Refund.objects.get(state="done")
    tamper("UPDATE billing_refund SET organization_id = %s WHERE id = %s", key.organization_id, made.pk)
    assert f"refund {made.public_id} is of organization {key.organization_id}" in offender("refunds")


def test_a_failed_refund_that_names_what_another_gave_back(key: ApiKey, tamper: Tamper) -> None:
    made, failed = Refund.objects.get(state="done"), Refund.objects.get(state="failed")
    tamper("UPDATE billing_refund SET public_id = %s WHERE id = %s", f"{failed.public_id}x", made.pk)
    assert f"not that of refund:{failed.public_id}x" in offender("refunds")


def test_disputes(key: ApiKey, tamper: Tamper) -> None:
    made = Dispute.objects.get()
    tamper("UPDATE billing_dispute SET nanos = nanos - 1 WHERE id = %s", made.pk)
    assert f"dispute {made.public_id}: 1000 cents" in offender("disputes")


def test_a_dispute_whose_give_back_is_forgotten(key: ApiKey, tamper: Tamper) -> None:
    made = Dispute.objects.get()
    tamper("UPDATE billing_dispute SET reinstated_id = NULL WHERE id = %s", made.pk)
    found = offender("disputes")
    assert f"dispute {made.public_id} ({made.stripe_id}) is won, and no transaction gave back" in found
    assert "1 more" in found


def test_a_give_back_that_no_dispute_names(key: ApiKey, tamper: Tamper) -> None:
    made = Dispute.objects.get()
    tamper("UPDATE billing_dispute SET reinstated_id = NULL, look_at = now() WHERE id = %s", made.pk)
    assert f"transaction {made.reinstated_id} (dispute-back:{made.stripe_id}): no dispute moved" in offender("disputes")


def test_a_lost_dispute_that_was_never_taken(key: ApiKey, tamper: Tamper) -> None:
    asked = make_dispute(TopUp.objects.get(), status="warning_needs_response", withdrawn=False, reinstated=False)
    long_ago = NOON - timedelta(days=8)
    tamper("UPDATE billing_dispute SET status = 'lost', closed_at = %s WHERE id = %s", long_ago, asked.pk)
    assert f"dispute {asked.public_id} ({asked.stripe_id}) is lost, and no transaction took it" in offender("disputes")


@pytest.mark.parametrize(
    "status", ["warning_under_review", "warning_closed", "under_review", "won", "lost", "prevented"]
)
def test_a_dispute_that_took_nothing_may_be_right(key: ApiKey, status: str) -> None:
    make_dispute(TopUp.objects.get(), now=NOON, status=status, withdrawn=False, reinstated=False)
    forget_outbox()
    assert red() == {}


@pytest.mark.parametrize("status", ["won", "lost", "needs_response"])
def test_a_dispute_that_took_may_have_given_nothing_back_yet(key: ApiKey, status: str) -> None:
    make_dispute(TopUp.objects.get(), now=NOON, status=status, reinstated=False)
    forget_outbox()
    assert red() == {}


def test_promotions(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_promotioncode SET nanos = nanos + 1")
    assert "code WELCOME gives 10000000001 nano-dollars" in offender("promotions")


def test_a_redemption_that_was_not_counted(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_promotioncode SET uses = 0")
    assert "code WELCOME was used 0 times, and redeemed 1 times" in offender("promotions")


def test_credit_of_a_code_that_nobody_redeemed(key: ApiKey, tamper: Tamper) -> None:
    tamper("DELETE FROM billing_promotionredemption")
    assert "nobody redeemed that" in offender("promotions")


def test_a_redemption_that_names_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_promotionredemption SET transaction_id = 999999")
    assert "redeemed by organization" in offender("promotions")
