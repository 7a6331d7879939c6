"""The billing portal, the overview and receipts."""

import pytest
import stripe

from tests.devstack.stripeserver.shop import RETURN, Shop, card, visit


def test_a_customer_keeps_cards_in_the_portal(shop: Shop) -> None:
    ann, bob = shop.customer(), shop.customer()
    portal = shop.stripe.v1.billing_portal.sessions.create({"customer": ann.id, "return_url": RETURN})
    for number in ("4242424242424242", "5555555555554444"):
        assert visit(portal.url, do="add", **card(number)).status == 303
    other, first = shop.stripe.v1.customers.payment_methods.list(ann.id).data
    page = visit(portal.url).text
    assert RETURN in page
    assert "Mastercard •••• 4444, 12/2034 <small>(default)" in page
    visit(portal.url, do="default", method=first.id)
    settings = shop.stripe.v1.customers.retrieve(ann.id).invoice_settings
    assert settings
    assert settings.default_payment_method == first.id
    visit(portal.url, do="remove", method=other.id)
    visit(portal.url, do="remove", method=shop.saved_card(bob.id).id)
    assert [each.id for each in shop.stripe.v1.customers.payment_methods.list(ann.id).data] == [first.id]
    assert len(shop.stripe.v1.customers.payment_methods.list(bob.id).data) == 1


def test_the_portal_refuses_a_card_that_declines(shop: Shop) -> None:
    portal = shop.stripe.v1.billing_portal.sessions.create({"customer": shop.customer().id})
    page = visit(portal.url, do="add", **card("4000000000000002"))
    assert (page.status, "Your card was declined." in page.text) == (402, True)


def test_a_portal_needs_a_customer_and_its_own_link(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.stripe.v1.billing_portal.sessions.create({"customer": "cus_nobody"})
    assert visit(f"{shop.address}/p/session/guessed").status == 404


def test_the_overview_shows_what_happened(shop: Shop) -> None:
    intent, session = shop.pay(), shop.session()
    text = visit(shop.address + "/").text
    for words in (intent.id, str(session.url), "4242 4242 4242 4242"):
        assert words in text


def test_a_payment_has_a_receipt(shop: Shop) -> None:
    charge = shop.stripe.v1.charges.retrieve(str(shop.pay(description="Credit <1>").latest_charge))
    text = visit(str(charge.receipt_url)).text
    assert "$25.00" in text
    assert "Credit &lt;1&gt;" in text
    assert visit(f"{shop.address}/receipts/ch_unknown").status == 404
