"""Each test card does what Stripe documents."""

from typing import Any

import pytest
import stripe

from devstack.stripeserver.cards import AUTHENTICATION, CARDS, Card, luhn
from tests.devstack.stripeserver.shop import RETURN, Inbox, Shop, card, visit

REFUSING = [each for each in CARDS if each.saved]


def refused(shop: Shop, method: str, **fields: Any) -> stripe.CardError:
    with pytest.raises(stripe.CardError) as caught:
        shop.pay(method, **fields)
    assert caught.value.http_status == 402
    return caught.value


def test_all_numbers_have_a_right_check_digit_and_are_different() -> None:
    assert all(luhn(each.number) for each in CARDS)
    assert len({each.number for each in CARDS}) == len({each.method for each in CARDS}) == len(CARDS)


@pytest.mark.parametrize("known", CARDS, ids=lambda known: known.method)
def test_each_card_pays_or_is_refused_as_it_says(shop: Shop, known: Card) -> None:
    wanted = "requires_action" if known.authentication != "never" else "succeeded"
    if known.charged and wanted == "succeeded":
        error = refused(shop, known.method)
        assert (error.code, error.error and error.error.decline_code) == (
            known.charged.code,
            known.charged.decline_code,
        )
    else:
        assert shop.pay(known.method).status == wanted


@pytest.mark.parametrize("known", REFUSING, ids=lambda known: known.method)
def test_a_card_that_declines_cannot_be_saved(shop: Shop, known: Card) -> None:
    ann = shop.customer()
    with pytest.raises(stripe.CardError) as caught:
        shop.saved_card(ann.id, known.method)
    assert known.saved
    assert caught.value.code == known.saved.code
    with pytest.raises(stripe.CardError):
        params = {"customer": ann.id, "payment_method": known.method, "confirm": True, "return_url": RETURN}
        shop.stripe.v1.setup_intents.create(params)  # type: ignore[arg-type]


def test_one_card_can_be_saved_and_declines_later(shop: Shop) -> None:
    ann = shop.customer()
    method = shop.saved_card(ann.id, "pm_card_chargeCustomerFail")
    assert refused(shop, method.id, customer=ann.id, off_session=True).code == "card_declined"
    assert len(shop.stripe.v1.customers.payment_methods.list(ann.id).data) == 1


def test_a_refusal_tells_of_the_intent_and_leaves_a_failed_charge(shop: Shop, hook: Inbox) -> None:
    error = refused(shop, "pm_card_visa_chargeDeclinedInsufficientFunds").error
    assert error
    assert error.payment_intent
    assert error.payment_method
    intent = shop.stripe.v1.payment_intents.retrieve(error.payment_intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error
    assert intent.last_payment_error.decline_code == "insufficient_funds"
    charge = shop.stripe.v1.charges.retrieve(str(error.charge))
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, "card_declined")
    hook.wait(3)
    assert hook.types == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_off_session_a_card_that_must_authenticate_is_refused(shop: Shop) -> None:
    ann = shop.customer()
    method = shop.saved_card(ann.id, "pm_card_authenticationRequired")
    error = refused(shop, method.id, customer=ann.id, off_session=True)
    assert error.code == AUTHENTICATION.code
    assert error.error
    assert error.error.payment_method
    assert error.error.payment_method.id == method.id
    assert error.error.payment_intent
    again = {"payment_method": method.id, "return_url": RETURN}
    intent = shop.stripe.v1.payment_intents.confirm(error.error.payment_intent.id, again)  # type: ignore[arg-type]
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    visit(str(intent.next_action.redirect_to_url.url), outcome="complete")
    intent = shop.stripe.v1.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.last_payment_error) == ("succeeded", None)


def test_on_session_the_customer_authenticates_on_the_banks_page(shop: Shop) -> None:
    intent = shop.pay("pm_card_authenticationRequired")
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    address = str(intent.next_action.redirect_to_url.url)
    assert "$25.00" in visit(address).text
    back = visit(address, outcome="complete")
    assert back.address.startswith(f"{RETURN}?payment_intent={intent.id}&")
    assert "redirect_status=succeeded" in back.address
    assert shop.stripe.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert visit(address, outcome="complete").status == 303  # once more changes nothing
    assert len(shop.stripe.v1.charges.list().data) == 1


def test_who_fails_to_authenticate_has_not_paid(shop: Shop) -> None:
    intent = shop.pay("pm_card_authenticationRequired")
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    back = visit(str(intent.next_action.redirect_to_url.url), outcome="fail")
    assert "redirect_status=failed" in back.address
    intent = shop.stripe.v1.payment_intents.retrieve(intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    assert shop.stripe.v1.charges.list().data == []


def test_the_banks_page_needs_its_secret(shop: Shop) -> None:
    intent = shop.pay("pm_card_authenticationRequired")
    assert visit(f"{shop.address}/3ds/{intent.id}/guessed").status == 404
    assert visit(f"{shop.address}/3ds/{intent.id}/guessed", outcome="complete").status == 404


def test_some_authenticate_and_decline_nevertheless(shop: Shop) -> None:
    intent = shop.pay("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    visit(str(intent.next_action.redirect_to_url.url), outcome="complete")
    error = shop.stripe.v1.payment_intents.retrieve(intent.id).last_payment_error
    assert error
    assert error.decline_code == "insufficient_funds"


def test_a_card_that_was_set_up_pays_off_session(shop: Shop) -> None:
    ann = shop.customer()
    setup = shop.stripe.v1.setup_intents.create(
        {
            "customer": ann.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
            "return_url": RETURN,
        }
    )
    assert setup.status == "requires_action"
    assert setup.next_action
    assert setup.next_action.redirect_to_url
    visit(str(setup.next_action.redirect_to_url.url), outcome="complete")
    [method] = shop.stripe.v1.customers.payment_methods.list(ann.id).data
    assert shop.pay(method.id, customer=ann.id, off_session=True).status == "succeeded"
    other = shop.saved_card(ann.id, "pm_card_authenticationRequiredOnSetup")
    assert refused(shop, other.id, customer=ann.id, off_session=True).code == AUTHENTICATION.code


def test_a_card_set_up_elsewhere_pays_off_session(shop: Shop) -> None:
    ann = shop.customer()
    method = shop.saved_card(ann.id, "pm_card_authenticationRequiredSetupForOffSession")
    assert shop.pay(method.id, customer=ann.id, off_session=True).status == "succeeded"


def test_an_error_instead_of_an_action_if_asked(shop: Shop) -> None:
    assert refused(shop, "pm_card_authenticationRequired", error_on_requires_action=True).code == AUTHENTICATION.code


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (card("4242424242424241"), "incorrect_number"),
        (card("4111111111111111"), "card_declined"),
        (card(expiry="13 / 34"), "invalid_expiry_month"),
        (card(expiry="01 / 20"), "invalid_expiry_year"),
        (card(cvc="12"), "invalid_cvc"),
        (card("378282246310005"), "invalid_cvc"),
    ],
)
def test_mistyped_cards_are_refused(shop: Shop, typed: dict[str, str], code: str) -> None:
    month, year = typed["expiry"].split(" / ")
    data = {"number": typed["number"], "exp_month": int(month), "exp_year": int(year), "cvc": typed["cvc"]}
    with pytest.raises(stripe.CardError) as caught:
        shop.stripe.v1.payment_methods.create({"type": "card", "card": data})  # type: ignore[arg-type]
    assert caught.value.code == code
