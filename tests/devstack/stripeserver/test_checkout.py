"""Checkout's page, driven as a browser without JavaScript drives it."""

import time
from typing import Any

import pytest
import stripe

from tests.devstack.stripeserver.shop import RETURN, Inbox, Shop, card, visit


def looked_up(shop: Shop, session: stripe.checkout.Session) -> stripe.checkout.Session:
    return shop.stripe.v1.checkout.sessions.retrieve(session.id)


def setup(shop: Shop, customer: str) -> stripe.checkout.Session:
    params: dict[str, Any] = {"mode": "setup", "currency": "usd", "customer": customer, "success_url": RETURN}
    return shop.stripe.v1.checkout.sessions.create(params)  # type: ignore[arg-type]


def test_a_customer_pays_and_comes_back(shop: Shop, hook: Inbox) -> None:
    session = shop.session(client_reference_id="top-up 7", payment_intent_data={"metadata": {"topup": "7"}})
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    page = visit(str(session.url))
    assert "$25.00" in page.text
    assert page.names == ["email", "number", "expiry", "cvc", "name"]
    done = visit(str(session.url), **card())
    assert (done.status, done.address) == (303, f"http://shop.example/done?session={session.id}")
    session = looked_up(shop, session)
    assert (session.status, session.payment_status, session.amount_total) == ("complete", "paid", 2500)
    assert session.client_reference_id == "top-up 7"
    assert session.customer_details
    assert (session.customer_details.email, session.customer_details.name) == ("ann@example.com", "Ann")
    intent = shop.stripe.v1.payment_intents.retrieve(str(session.payment_intent))
    assert (intent.status, intent.amount_received, intent.metadata["topup"]) == ("succeeded", 2500, "7")
    event = hook.wait_for_type("checkout.session.completed")
    assert (event["data"]["object"]["id"], event["request"]["id"]) == (session.id, None)


def test_pressing_twice_pays_once(shop: Shop) -> None:
    session = shop.session()
    first, second = visit(str(session.url), **card()), visit(str(session.url), **card())
    assert first.address == second.address == f"http://shop.example/done?session={session.id}"
    assert len(shop.stripe.v1.charges.list().data) == 1
    assert visit(f"{shop.address}/c/pay/{session.id}").status == 303


def test_a_declined_card_can_be_replaced_by_another(shop: Shop) -> None:
    session = shop.session()
    page = visit(str(session.url), **card("4000000000009995"))
    assert page.status == 402
    assert "Your card has insufficient funds." in page.text
    assert "4000000000009995" not in page.text
    assert looked_up(shop, session).status == "open"
    assert visit(str(session.url), **card()).status == 303
    statuses = [charge.status for charge in shop.stripe.v1.charges.list().data]
    assert statuses == ["succeeded", "failed"]
    assert len(shop.stripe.v1.payment_intents.list().data) == 1


def test_a_mistyped_card_is_explained(shop: Shop) -> None:
    session = shop.session()
    for typed, words in (
        (card("4242424242424241"), "card number is incorrect"),
        (card(expiry="soon"), "expiration month is invalid"),
        (card(cvc=""), "security code is invalid"),
    ):
        assert words in visit(str(session.url), **typed).text
    assert looked_up(shop, session).payment_intent is None


@pytest.mark.parametrize(("outcome", "paid"), [("complete", "paid"), ("fail", "unpaid")])
def test_the_bank_asks_in_between(shop: Shop, outcome: str, paid: str) -> None:
    session = shop.session()
    to_bank = visit(str(session.url), **card("4000002760003184"))
    assert looked_up(shop, session).status == "open"
    from_bank = visit(to_bank.address, outcome=outcome)
    assert looked_up(shop, session).payment_status == paid, "whether the customer comes back or not"
    last = visit(from_bank.address)
    assert ("failed authentication" in last.text) == (outcome == "fail")
    assert last.address.startswith("http://shop.example/done") == (outcome == "complete")
    if outcome == "fail":
        assert visit(str(session.url), **card()).status == 303


def test_a_card_is_saved_if_the_customer_wants_it(shop: Shop) -> None:
    ann = shop.customer()
    for typed, saved in (({}, 0), ({"save": "on"}, 1)):
        session = shop.session(customer=ann.id, saved_payment_method_options={"payment_method_save": "enabled"})
        assert "save" in visit(str(session.url)).names
        visit(str(session.url), **card(**typed))
        assert len(shop.stripe.v1.customers.payment_methods.list(ann.id).data) == saved
    [method] = shop.stripe.v1.customers.payment_methods.list(ann.id).data
    assert method.allow_redisplay == "always"
    assert shop.pay(method.id, customer=ann.id, off_session=True).status == "succeeded"


def test_a_card_is_saved_where_the_shop_says_so(shop: Shop) -> None:
    session = shop.session(payment_intent_data={"setup_future_usage": "off_session"})
    visit(str(session.url), **card())
    customer = looked_up(shop, session).customer
    assert isinstance(customer, str), "a customer is made for it"
    assert len(shop.stripe.v1.customers.payment_methods.list(customer).data) == 1


def test_setup_mode_saves_a_card_without_paying(shop: Shop, hook: Inbox) -> None:
    ann = shop.customer()
    session = setup(shop, ann.id)
    assert "Save card" in visit(str(session.url)).text
    assert visit(str(session.url), **card("4000000000000002")).status == 402
    assert visit(str(session.url), **card()).address == RETURN
    session = shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert isinstance(session.setup_intent, stripe.SetupIntent)
    assert (session.setup_intent.status, session.payment_status) == ("succeeded", "no_payment_required")
    [method] = shop.stripe.v1.customers.payment_methods.list(ann.id).data
    assert method.id == session.setup_intent.payment_method
    assert hook.wait_for_type("setup_intent.succeeded")
    assert shop.stripe.v1.charges.list().data == []


def test_setup_mode_with_the_bank_in_between(shop: Shop) -> None:
    ann = shop.customer()
    session = setup(shop, ann.id)
    bank = visit(str(session.url), **card("4000002500003155"))
    visit(bank.address, outcome="complete")
    assert looked_up(shop, session).status == "complete"
    [method] = shop.stripe.v1.customers.payment_methods.list(ann.id).data
    assert shop.pay(method.id, customer=ann.id, off_session=True).status == "succeeded"


def test_a_payment_that_is_only_authorized_is_paid_when_it_is_captured(shop: Shop) -> None:
    session = shop.session(payment_intent_data={"capture_method": "manual"})
    visit(str(session.url), **card())
    session = looked_up(shop, session)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    shop.stripe.v1.payment_intents.capture(str(session.payment_intent))
    assert looked_up(shop, session).payment_status == "paid"


def test_an_expired_session_cannot_be_paid(shop: Shop, hook: Inbox) -> None:
    by_hand, by_time = shop.session(), shop.session(expires_at=int(time.time()) + 1800)
    shop.stripe.v1.checkout.sessions.expire(by_hand.id)
    shop.control("clock", {"ahead": 1900})
    hook.wait_for_type("checkout.session.expired")
    shop.quiet()
    for session in (by_hand, by_time):
        assert looked_up(shop, session).status == "expired"
        page = visit(f"{shop.address}/c/pay/{session.id}", **card())
        assert (page.status, "has expired" in page.text) == (404, True)
    assert shop.stripe.v1.charges.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        shop.stripe.v1.checkout.sessions.expire(by_hand.id)


def test_line_items_add_up(shop: Shop) -> None:
    def price(amount: int) -> dict[str, Any]:
        return {"currency": "eur", "unit_amount": amount, "product_data": {"name": f"{amount} <b>"}}

    items = [{"price_data": price(1000), "quantity": 2}, {"price_data": price(50), "quantity": 1}]
    session = shop.session(line_items=items)
    assert (session.amount_total, session.currency) == (2050, "eur")
    listed = shop.stripe.v1.checkout.sessions.line_items.list(session.id).data
    assert [(item.amount_total, item.quantity) for item in listed] == [(2000, 2), (50, 1)]
    assert listed[0].price
    assert listed[0].price.unit_amount == 1000
    text = visit(str(session.url)).text
    assert "20.50 EUR" in text
    assert "1000 &lt;b&gt;" in text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mode": "subscription"}, "mode"),
        ({"line_items": []}, "line_items"),
        ({"success_url": ""}, "success_url"),
        ({"expires_at": 1}, "expires_at"),
        ({"setup_intent_data": {"description": "x"}}, "setup_intent_data"),
        ({"customer": "cus_nobody"}, "No such customer"),
        ({"tax_id_collection": {"enabled": True}}, "tax_id_collection"),
    ],
)
def test_wrong_sessions_are_refused(shop: Shop, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        shop.session(**wrong)


def test_too_little_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.session(amount=49)
    assert caught.value.code == "amount_too_small"


def test_sessions_are_found_by_their_payment_and_customer(shop: Shop) -> None:
    ann = shop.customer()
    session, _ = shop.session(customer=ann.id), shop.session()
    visit(str(session.url), **card())
    listed = shop.stripe.v1.checkout.sessions.list
    intent = str(looked_up(shop, session).payment_intent)
    for wanted in ({"payment_intent": intent}, {"customer": ann.id}, {"status": "complete"}):
        assert [each.id for each in listed(wanted).data] == [session.id]  # type: ignore[arg-type]


def test_there_is_no_page_of_an_unknown_session(shop: Shop) -> None:
    assert visit(f"{shop.address}/c/pay/cs_test_unknown").status == 404
    assert visit(f"{shop.address}/c/pay/cs_test_unknown", **card()).status == 404
