"""Checkout in a real browser: its policy lets the customer go to the bank and back to the shop."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.devstack.stripeserver.shop import Shop, inbox
from tests.e2e.conftest import CHROMIUM_OPTIONS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = list(CHROMIUM_OPTIONS)
        browser = playwright.chromium.launch(executable_path=os.environ["KEYMETER_CHROMIUM"], args=options)
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """Without JavaScript, on a desk and on a phone. Whatever the browser complains about fails the test."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": request.param, "height": 800})
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    yield page
    context.close()
    # Chromium says that a declined payment was answered with 402.
    assert [text for text in complaints if "402" not in text] == []


def pay(page: Page, number: str) -> None:
    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name="Pay $25.00").click()


def test_a_customer_pays_after_a_decline_and_the_bank(shop: Shop, page: Page) -> None:
    with inbox() as site:
        thanks = site.url + "?session={CHECKOUT_SESSION_ID}"
        session = shop.session(success_url=thanks, cancel_url=site.url + "?cancelled=1")
        page.goto(str(session.url))
        pay(page, "4000000000000002")
        expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
        pay(page, "4000002760003184")
        page.get_by_role("button", name="Yes, confirm").click()
        expect(page.get_by_role("heading")).to_have_text("Thank you")
        assert page.url == f"{site.url}?session={session.id}"
        assert shop.stripe.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
        page.go_back()
        page.goto(f"{shop.address}/c/pay/{session.id}")
        assert page.url == f"{site.url}?session={session.id}", "a paid session leads to the shop"


def test_a_customer_goes_back_without_paying(shop: Shop, page: Page) -> None:
    with inbox() as site:
        session = shop.session(cancel_url=site.url + "?cancelled=1")
        page.goto(str(session.url))
        page.get_by_role("link", name="← Back").click()
        assert page.url == site.url + "?cancelled=1"


def test_no_page_is_wider_than_the_screen(shop: Shop, page: Page) -> None:
    ann = shop.customer()
    shop.saved_card(ann.id)
    shop.pay()
    portal = shop.stripe.v1.billing_portal.sessions.create({"customer": ann.id})
    for address in (shop.session().url, portal.url, shop.address + "/"):
        page.goto(str(address))
        width = page.viewport_size["width"] if page.viewport_size else 0
        for part in ("main", "h1, .amount", "form, .card, details"):
            for box in page.locator(part).all():
                bounds = box.bounding_box()
                assert bounds
                assert bounds["x"] + bounds["width"] <= width, (address, part)
