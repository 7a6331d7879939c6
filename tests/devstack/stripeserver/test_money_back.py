"""Refunds and disputes."""

import pytest
import stripe

from tests.devstack.stripeserver.shop import Inbox, Shop

WON, LOST = "winning_evidence", "losing_evidence"


def disputed(shop: Shop, method: str = "pm_card_createDispute") -> stripe.Dispute:
    intent = shop.pay(method)
    shop.quiet()
    [dispute] = shop.stripe.v1.disputes.list({"payment_intent": intent.id}).data
    return dispute


def test_several_refunds_up_to_the_amount_and_no_more(shop: Shop) -> None:
    intent = shop.pay(amount=1000)
    refunds = shop.stripe.v1.refunds
    first = refunds.create({"payment_intent": intent.id, "amount": 300, "metadata": {"why": "half"}})
    assert (first.status, first.amount, first.payment_intent) == ("succeeded", 300, intent.id)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        refunds.create({"payment_intent": intent.id, "amount": 701})
    assert refunds.create({"charge": str(intent.latest_charge)}).amount == 700
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    charge = shop.stripe.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    assert charge.refunds
    assert [refund.amount for refund in charge.refunds.data] == [700, 300]


def test_what_was_not_paid_cannot_be_refunded(shop: Shop) -> None:
    intent = shop.stripe.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        shop.stripe.v1.refunds.create({"payment_intent": intent.id})


def test_a_refund_that_is_pending_at_first(shop: Shop, hook: Inbox) -> None:
    refund = shop.stripe.v1.refunds.create({"payment_intent": shop.pay("pm_card_pendingRefund").id})
    assert refund.status == "pending"
    hook.wait_for_type("refund.updated")
    assert shop.stripe.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_a_refund_that_fails_a_moment_later_counts_as_not_refunded(shop: Shop, hook: Inbox) -> None:
    intent = shop.pay("pm_card_refundFail")
    refund = shop.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    failed = hook.wait_for_type("refund.failed")["data"]["object"]
    assert (failed["id"], failed["failure_reason"]) == (refund.id, "expired_or_canceled_card")
    charge = shop.stripe.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (0, False)


def test_a_dispute_takes_the_money_and_a_fee(shop: Shop, hook: Inbox) -> None:
    dispute = disputed(shop)
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 2500)
    assert [(entry.amount, entry.fee) for entry in dispute.balance_transactions] == [(-2500, 1500)]
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= set(hook.types)
    assert shop.stripe.v1.charges.retrieve(str(dispute.charge)).disputed
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.stripe.v1.refunds.create({"charge": str(dispute.charge)})
    assert caught.value.code == "charge_disputed"


def test_disputes_have_the_cards_reason(shop: Shop) -> None:
    assert disputed(shop, "pm_card_createDisputeProductNotReceived").reason == "product_not_received"


def test_a_dispute_that_is_won_gives_the_money_back(shop: Shop, hook: Inbox) -> None:
    dispute = disputed(shop)
    answered = shop.stripe.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": WON}})
    assert answered.status == "under_review"
    hook.wait_for_type("charge.dispute.funds_reinstated")
    dispute = shop.stripe.v1.disputes.retrieve(dispute.id)
    assert dispute.status == "won"
    assert [entry.amount for entry in dispute.balance_transactions] == [-2500, 2500]


def test_a_dispute_is_lost_by_evidence_or_by_giving_in(shop: Shop, hook: Inbox) -> None:
    by_evidence, given_in = disputed(shop), disputed(shop)
    shop.stripe.v1.disputes.update(by_evidence.id, {"evidence": {"uncategorized_text": LOST}})
    assert shop.stripe.v1.disputes.close(given_in.id).status == "lost"
    shop.quiet()
    assert shop.stripe.v1.disputes.retrieve(by_evidence.id).status == "lost"
    assert hook.types.count("charge.dispute.closed") == 2
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        shop.stripe.v1.disputes.close(given_in.id)


def test_evidence_can_be_kept_before_it_is_submitted(shop: Shop) -> None:
    dispute = disputed(shop)
    kept = shop.stripe.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ann"}, "submit": False})
    assert (kept.status, kept.evidence.customer_name) == ("needs_response", "Ann")


def test_an_inquiry_takes_no_money(shop: Shop) -> None:
    dispute = disputed(shop, "pm_card_createDisputeInquiry")
    assert (dispute.status, dispute.balance_transactions) == ("warning_needs_response", [])
    assert shop.stripe.v1.refunds.create({"charge": str(dispute.charge)}).status == "succeeded"
    assert shop.stripe.v1.disputes.close(dispute.id).status == "warning_closed"


def test_any_payment_can_be_disputed_on_demand(shop: Shop) -> None:
    intent = shop.pay()
    shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    made = shop.control("disputes", {"charge": intent.latest_charge, "reason": "duplicate"})
    assert (made["amount"], made["reason"]) == (2000, "duplicate")
    assert shop.control("disputes", {"dispute": made["id"], "status": "won"})["status"] == "won"


def test_the_books_add_up(shop: Shop) -> None:
    """The balance is the sum of its transactions: payments, fees, refunds, disputes."""
    shop.stripe.v1.refunds.create({"payment_intent": shop.pay().id, "amount": 500})
    disputed(shop)
    shop.quiet()
    entries = list(shop.stripe.v1.balance_transactions.list().auto_paging_iter())
    [pending] = shop.stripe.v1.balance.retrieve().pending
    assert pending.amount == sum(entry.net for entry in entries) == 2 * 2397 - 500 - 2500 - 1500
    assert sorted(entry.type for entry in entries) == ["adjustment", "charge", "charge", "refund"]
    shop.control("clock", {"ahead": 3 * 24 * 3600})
    balance = shop.stripe.v1.balance.retrieve()
    assert ([each.amount for each in balance.available], balance.pending[0].amount) == ([pending.amount], 0)
    assert {entry.status for entry in shop.stripe.v1.balance_transactions.list().data} == {"available"}
