"""PaymentIntents and what they make, through the `stripe` library."""

from typing import Any

import pytest
import stripe

from tests.devstack.stripeserver.shop import RETURN, Shop


def test_a_payment_makes_one_charge_and_one_entry_in_the_books(shop: Shop) -> None:
    intent = shop.pay(amount=2500, metadata={"order": "6"})
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    shop.quiet()
    found = shop.stripe.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.balance_transaction"]})
    charge = found.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.amount, charge.captured, charge.paid, charge.metadata["order"]) == (2500, True, True, "6")
    entry = charge.balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.amount, entry.fee, entry.net, entry.source) == (2500, 103, 2397, charge.id)


def test_the_entry_in_the_books_comes_a_moment_after_the_payment(shop: Shop) -> None:
    """Stripe captures asynchronously by default."""
    shop.control("timing", {"moment": 60})
    try:
        charge = shop.stripe.v1.charges.retrieve(str(shop.pay().latest_charge))
        assert charge.balance_transaction is None
        charge = shop.stripe.v1.charges.retrieve(str(shop.pay(capture_method="automatic").latest_charge))
        assert charge.balance_transaction
    finally:
        shop.control("timing", {"moment": 0.02})


def test_an_intent_goes_through_its_states(shop: Shop) -> None:
    intents = shop.stripe.v1.payment_intents
    intent = intents.create({"amount": 500, "currency": "usd"})
    assert intent.status == "requires_payment_method"
    intent = intents.update(intent.id, {"payment_method": "pm_card_mastercard", "amount": 600})
    assert (intent.status, intent.amount) == ("requires_confirmation", 600)
    intent = intents.confirm(intent.id, {"return_url": RETURN})
    assert intent.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        intents.cancel(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_a_payment_can_be_captured_later_in_part_or_cancelled(shop: Shop) -> None:
    intents = shop.stripe.v1.payment_intents
    intent = shop.pay(capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 2500)
    captured = intents.capture(intent.id, {"amount_to_capture": 1000})
    assert (captured.status, captured.amount_received) == ("succeeded", 1000)
    assert shop.stripe.v1.refunds.create({"payment_intent": intent.id}).amount == 1000
    other = intents.cancel(shop.pay(capture_method="manual").id, {"cancellation_reason": "abandoned"})
    assert (other.status, other.cancellation_reason, other.amount_capturable) == ("canceled", "abandoned", 0)


def test_a_saved_card_pays_again_only_for_its_customer(shop: Shop) -> None:
    ann, bob = shop.customer(), shop.customer(email="bob@example.com")
    method = shop.saved_card(ann.id)
    intent = shop.pay(method.id, customer=ann.id, off_session=True)
    assert intent.status == "succeeded"
    payers: list[dict[str, Any]] = [{}, {"customer": bob.id}]
    for payer in payers:
        with pytest.raises(stripe.InvalidRequestError):
            shop.pay(method.id, **payer)


def test_a_card_that_was_used_or_removed_cannot_be_used_again(shop: Shop) -> None:
    intent = shop.pay()
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.pay(str(intent.payment_method))
    ann = shop.customer()
    method = shop.saved_card(ann.id)
    shop.stripe.v1.payment_methods.detach(method.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.pay(method.id, customer=ann.id)


def test_a_payment_saves_its_card_if_asked(shop: Shop) -> None:
    ann = shop.customer()
    shop.pay(customer=ann.id, setup_future_usage="off_session")
    [method] = shop.stripe.v1.customers.payment_methods.list(ann.id, {"type": "card"}).data
    assert method.card
    assert method.card.last4 == "4242"
    assert shop.pay(method.id, customer=ann.id, off_session=True).status == "succeeded"


def test_the_default_card_is_kept_and_forgotten_with_the_card(shop: Shop) -> None:
    ann = shop.customer()
    method = shop.saved_card(ann.id)
    customers = shop.stripe.v1.customers
    customers.update(ann.id, {"invoice_settings": {"default_payment_method": method.id}})
    settings = customers.retrieve(ann.id, {"expand": ["invoice_settings.default_payment_method"]}).invoice_settings
    assert settings
    assert isinstance(settings.default_payment_method, stripe.PaymentMethod)
    shop.stripe.v1.payment_methods.detach(method.id)
    settings = customers.retrieve(ann.id).invoice_settings
    assert settings
    assert settings.default_payment_method is None


def test_a_setup_saves_a_card_without_paying(shop: Shop) -> None:
    ann = shop.customer()
    intent = shop.stripe.v1.setup_intents.create(
        {"customer": ann.id, "payment_method": "pm_card_visa", "confirm": True, "return_url": RETURN}
    )
    assert intent.status == "succeeded"
    assert len(shop.stripe.v1.customers.payment_methods.list(ann.id).data) == 1
    assert shop.stripe.v1.charges.list().data == []


def test_a_deleted_customer_is_gone_with_its_cards(shop: Shop) -> None:
    ann = shop.customer()
    method = shop.saved_card(ann.id)
    assert shop.stripe.v1.customers.delete(ann.id).deleted
    assert shop.stripe.v1.customers.retrieve(ann.id).deleted
    assert shop.stripe.v1.payment_methods.retrieve(method.id).customer is None
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.pay(customer=ann.id)
    assert caught.value.code == "resource_missing"


def test_amounts_have_bounds(shop: Shop) -> None:
    for amount, code in ((49, "amount_too_small"), (100_000_000, "amount_too_large")):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.pay(amount=amount)
        assert caught.value.code == code


def test_where_a_bank_might_ask_there_must_be_a_way_back(shop: Shop) -> None:
    params = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        shop.stripe.v1.payment_intents.create(params)  # type: ignore[arg-type]
    never = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    assert shop.stripe.v1.payment_intents.create({**params, **never}).status == "succeeded"  # type: ignore[typeddict-item]
