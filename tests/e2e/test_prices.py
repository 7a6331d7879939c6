"""Staff in a browser: the price table, a draft, what if, publishing; and what everybody sees of it."""

import json
import re
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.devstack.stack import Stack, command
from tests.e2e.books import assert_settled, query
from tests.e2e.test_story import MESSAGES, Mail, client, create_first_key, sign_up
from tests.waiting import wait_until

MODEL = "demo-chat"
CHARGES = (
    "SELECT charge_nanos FROM billing_usageevent e JOIN accounts_organization o ON o.id = organization_id"
    " WHERE o.name ILIKE 'gwen%%' ORDER BY e.id"
)


def wait_for_public_price(stack: Stack, expected: str) -> None:
    """Until everybody is told this price. Asked seldom: an address has so many requests a minute."""

    def is_told() -> bool:
        with urlopen(f"{stack.console_url}/models.json/{MODEL}", timeout=10) as answer:
            return str(json.load(answer)["pricing"]["prompt"]) == expected

    wait_until(is_told, f"the price {expected}", every=1)


PUT_BACK = f"""
import django
django.setup()
from django.utils import timezone
from billing.prices import publish_prices, unit_prices_of
from catalog.models import Model
model = Model.objects.get(public_id={MODEL!r})
prices = unit_prices_of(model.price_versions.earliest("pk"))
publish_prices(model, prices, effective_from=None, actor=None, reason="As it was", now=timezone.now())
"""


@pytest.fixture
def _price_of_before(stack: Stack) -> Iterator[None]:
    """Other tests of this stack count on what the demo's model costs."""
    yield
    command(stack, "-c", PUT_BACK)
    wait_for_public_price(stack, "0.0000005")


@pytest.mark.usefixtures("_price_of_before")
def test_a_price_is_typed_into_the_table_forecast_published_and_charged(
    page: Page, admin: Page, stack: Stack, mail: Mail
) -> None:
    sign_up(page, mail, "gwen@example.com")
    api = client(stack, create_first_key(page))
    for _ in range(3):
        api.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert_settled(stack)

    admin.goto("/staff/prices/")
    admin.keyboard.press("/")
    admin.keyboard.type("demo-chat")
    admin.keyboard.press("Enter")
    expect(admin.locator("tbody tr")).to_have_count(2)
    cell = admin.get_by_label(f"Input of {MODEL}", exact=True)
    cell.fill("nonsense")
    cell.press("Tab")
    expect(admin.get_by_text("Write a number of dollars")).to_be_visible()
    admin.get_by_label(f"Input of {MODEL}", exact=True).fill("1")
    admin.get_by_label(f"Input of {MODEL}", exact=True).press("Tab")
    expect(admin.locator("tbody").get_by_text("was $0.50")).to_be_visible()
    expect(admin.locator("#draft-bar")).to_contain_text("changes the prices of 1 model")

    admin.get_by_role("link", name="Look at it and publish").click()
    expect(admin.locator("main")).to_contain_text("$0.50 → $1.00")
    admin.get_by_role("button", name="Show the effect").click()
    expect(admin.get_by_text("Revenue after")).to_be_visible(timeout=60_000)
    sums = "SELECT sum(before_nanos)::bigint, sum(after_nanos)::bigint FROM billing_forecastsum WHERE organization_id ="
    ((before, after),) = query(stack, f"{sums} (SELECT id FROM accounts_organization WHERE name ILIKE 'gwen%%')")
    assert (before, after) == (3 * (2 * 500 + 4 * 1_500), 3 * (2 * 1_000 + 4 * 1_500))
    expect(admin.locator("#forecast")).to_contain_text(re.compile("gwen", re.IGNORECASE))

    admin.get_by_label("Reason", exact=True).fill("Dearer hardware")
    admin.get_by_role("button", name="Publish 1 price").click()
    expect(admin.get_by_text("Published: 1 price from")).to_be_visible()
    wait_for_public_price(stack, "0.000001")
    for _ in range(3):
        api.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert_settled(stack)
    assert sum(nanos for (nanos,) in query(stack, CHARGES)[3:]) == after

    page.goto(f"/models/{MODEL}")
    expect(page.get_by_text("Price history")).to_be_visible()
    expect(page.locator("main")).to_contain_text("$1.00 / 1M")
    page.goto("/models/?q=large")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_without_javascript_a_row_is_a_form_and_a_phone_has_room(admin: Page, browser: Browser, stack: Stack) -> None:
    signed_in = admin.context.storage_state()
    context = browser.new_context(
        base_url=stack.console_url,
        storage_state=signed_in,
        java_script_enabled=False,
        viewport={"width": 390, "height": 800},
    )
    page = context.new_page()
    page.goto("/staff/prices/?q=large")
    page.get_by_label("Output of demo-chat-large", exact=True).fill("16")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("tbody")).to_contain_text("was $15.00")
    page.get_by_role("link", name="Look at it and publish").click()
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.get_by_text("The draft is discarded")).to_be_visible()
    context.close()

    admin.set_viewport_size({"width": 390, "height": 800})
    for address in ("/staff/prices/", "/staff/prices/import/", "/staff/margins/", "/models/", "/models/demo-chat"):
        admin.goto(address)
        assert admin.evaluate("document.documentElement.scrollWidth") == 390, address
