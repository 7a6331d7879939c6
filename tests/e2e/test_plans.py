"""A plan chosen, changed and cancelled in a browser: what is shown is what moves, and the gateway knows at once."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.devstack.stack import Stack
from tests.e2e.books import assert_settled, query
from tests.e2e.test_story import MESSAGES, Mail, client, create_first_key, sign_up
from website import money

BALANCE = (
    "SELECT nanos FROM billing_balance JOIN accounts_organization o ON o.id = organization_id WHERE o.name ILIKE %s"
)


def balance(stack: Stack, name: str) -> int:
    ((nanos,),) = query(stack, BALANCE, f"{name}%")
    return int(nanos)


def to_pay(page: Page) -> int:
    return money.parse(page.locator("#to-pay").inner_text())


@pytest.fixture
def plain_page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A phone without JavaScript."""
    context = browser.new_context(
        base_url=stack.console_url, viewport={"width": 390, "height": 800}, java_script_enabled=False, locale="en-US"
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def test_a_plan_is_chosen_and_changed_for_what_was_shown(page: Page, stack: Stack, mail: Mail) -> None:
    sign_up(page, mail, "paula@example.com")
    api = client(stack, create_first_key(page))
    page.get_by_role("link", name="Billing").click()
    page.get_by_role("link", name="Look at the plans").click()
    page.get_by_role("link", name="Choose Basic").click()
    assert to_pay(page) == 2 * money.NANOS
    page.get_by_role("button", name="Begin the plan").click()
    expect(page.get_by_text("Basic has begun.")).to_be_visible()
    # A dollar came with it.
    assert balance(stack, "paula") == 4 * money.NANOS
    answer = api.chat.completions.with_raw_response.create(model="demo-chat", messages=MESSAGES)
    assert answer.headers["x-ratelimit-limit-requests"] == "60"
    assert_settled(stack)

    page.get_by_role("link", name="Look at other plans").click()
    page.get_by_role("link", name="Change to Pro").click()
    shown, before = to_pay(page), balance(stack, "paula")
    assert 2 * money.NANOS < shown < 2 * money.NANOS + money.NANOS // 100
    page.get_by_role("button", name="Change the plan").click()
    expect(page.get_by_text("Pro has begun.")).to_be_visible()
    # Of the first dollar what wasn't earned in these seconds went back, and three came.
    assert abs(balance(stack, "paula") - (before - shown - money.NANOS + 3 * money.NANOS)) < money.NANOS // 1000
    answer = api.chat.completions.with_raw_response.create(model="demo-chat", messages=MESSAGES)
    assert answer.headers["x-ratelimit-limit-requests"] == "600"
    assert_settled(stack)


def test_on_a_phone_without_javascript_a_plan_is_cancelled(plain_page: Page, stack: Stack, mail: Mail) -> None:
    page = plain_page
    sign_up(page, mail, "quentin@example.com")
    page.get_by_role("button", name="Create key").click()
    page.goto(re.sub(r"(/o/org_\w+/).*", r"\1billing/plans/basic/", page.url))
    page.get_by_role("button", name="Begin the plan").click()
    page.get_by_role("link", name="Cancel the plan").click()
    page.get_by_role("button", name="Cancel the plan").click()
    expect(page.get_by_text("The plan won't be renewed.")).to_be_visible()
    page.get_by_role("button", name="Keep Basic").click()
    expect(page.get_by_text("The plan goes on as it is.")).to_be_visible()
    page.get_by_role("link", name="Cancel the plan").click()
    page.get_by_label("Now", exact=True).check()
    page.get_by_role("button", name="Cancel the plan").click()
    expect(page.get_by_text("The plan has ended.")).to_be_visible()
    # All but what these seconds cost came back.
    assert 0 <= 5 * money.NANOS - balance(stack, "quentin") < money.NANOS // 100
