"""A payment whose money comes later: Checkout is done, and paid or not a moment afterwards."""

from typing import Any

import pytest
import stripe

from tests.devstack.stripeserver.shop import Inbox, Shop, bank_account, card, visit

BOTH: dict[str, Any] = {"allowed_payment_method_types": ["card", "us_bank_account"]}


def done(shop: Shop, number: str, **fields: Any) -> stripe.checkout.Session:
    """A session that was paid from this account, as it is at once."""
    session = shop.session(**BOTH, **fields)
    assert visit(str(session.url), **bank_account(number)).status == 303
    return shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})


def test_the_money_comes_after_the_session_is_complete(shop: Shop, hook: Inbox) -> None:
    session = done(shop, "000123456789")
    completed = hook.wait_for_type("checkout.session.completed")["data"]["object"]
    assert (completed["status"], completed["payment_status"]) == ("complete", "unpaid")
    later = hook.wait_for_type("checkout.session.async_payment_succeeded")["data"]["object"]
    assert (later["id"], later["payment_status"]) == (session.id, "paid")
    assert hook.types.index("payment_intent.processing") < hook.types.index("payment_intent.succeeded")
    intent = shop.stripe.v1.payment_intents.retrieve(later["payment_intent"], {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.payment_method_details
    assert intent.latest_charge.payment_method_details.type == "us_bank_account"
    assert "Stripe Test Bank •••• 6789" in visit(str(intent.latest_charge.receipt_url)).text


@pytest.mark.parametrize(
    ("number", "why"), [("000111111113", "account_closed"), ("000222222227", "insufficient_funds")]
)
def test_or_it_never_comes(shop: Shop, hook: Inbox, number: str, why: str) -> None:
    session = done(shop, number)
    failed = hook.wait_for_type("checkout.session.async_payment_failed")["data"]["object"]
    assert (failed["id"], failed["status"], failed["payment_status"]) == (session.id, "complete", "unpaid")
    assert "payment_intent.succeeded" not in hook.types
    intent = shop.stripe.v1.payment_intents.retrieve(failed["payment_intent"])
    assert intent.last_payment_error
    assert intent.last_payment_error.decline_code == why
    [charge] = shop.stripe.v1.charges.list({"payment_intent": intent.id}).data
    assert (charge.status, charge.paid) == ("failed", False)


def test_what_is_on_its_way_can_be_neither_cancelled_nor_refunded(shop: Shop) -> None:
    shop.control("timing", {"moment": 60})
    try:
        intent = done(shop, "000123456789").payment_intent
        assert isinstance(intent, stripe.PaymentIntent)
        assert intent.status == "processing"
        for operation in (shop.stripe.v1.payment_intents.cancel, shop.stripe.v1.payment_intents.confirm):
            with pytest.raises(stripe.InvalidRequestError):
                operation(intent.id)
        with pytest.raises(stripe.InvalidRequestError):
            shop.stripe.v1.refunds.create({"payment_intent": intent.id})
    finally:
        shop.control("timing", {"moment": 0.02})


def test_only_test_accounts_pay_and_only_where_the_shop_allows_it(shop: Shop) -> None:
    session = shop.session(**BOTH)
    assert "account" in visit(str(session.url)).names
    for typed in (bank_account("123"), bank_account(routing="1"), bank_account("4242424242424242")):
        assert visit(str(session.url), **typed).status == 402
    assert visit(str(session.url), **card()).status == 303
    cards_only = shop.session()
    assert "account" not in visit(str(cards_only.url)).names
    assert visit(str(cards_only.url), **bank_account()).status == 402
    price = {"currency": "eur", "unit_amount": 500, "product_data": {"name": "Credit"}}
    with pytest.raises(stripe.InvalidRequestError, match="usd only"):
        shop.session(**BOTH, line_items=[{"price_data": price, "quantity": 1}])
