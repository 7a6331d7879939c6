"""Cards in a browser: kept with a top-up, refilling the balance, declined, confirmed at a bank; and staff refund."""

import re
from contextlib import closing

import psycopg
from playwright.sync_api import Page, expect

from tests.devstack.stack import Stack
from tests.e2e.books import assert_settled, query
from tests.e2e.test_story import MESSAGES, Mail, client, create_first_key, sign_up
from tests.waiting import wait_until
from website import money

PAYS = "4242 4242 4242 4242"
DECLINES = "4000 0000 0000 0341"
AUTHENTICATES = "4000 0027 6000 3184"
BALANCE = """
SELECT nanos FROM billing_balance JOIN accounts_organization o ON o.id = organization_id WHERE o.public_id = %s
"""
# Of attempts and pauses: so that nobody waits for a minute.
A_MINUTE_PASSES = """
UPDATE billing_topup SET created_at = created_at - interval '1 minute' WHERE way = 'recharge';
UPDATE billing_autorecharge SET not_before = not_before - interval '1 minute'
"""


def test_a_card_is_kept_refills_the_balance_declines_and_asks_its_bank_and_staff_refund(
    page: Page, admin: Page, stack: Stack, mail: Mail
) -> None:
    sign_up(page, mail, "rita@example.com")
    api = client(stack, create_first_key(page))
    organization = page.url.split("/o/")[1].split("/")[0]
    billing = f"/o/{organization}/billing/"

    def balance() -> int:
        ((nanos,),) = query(stack, BALANCE, organization)
        return int(nanos)

    page.goto(billing)
    page.get_by_role("link", name="Top up", exact=True).click()
    page.get_by_label("Amount, dollars").fill("10")
    page.get_by_label("Keep the card at Stripe").check()
    page.get_by_role("button", name="Go to payment").click()
    type_card(page, PAYS)
    expect(page.get_by_text("were added to the balance")).to_be_visible()
    assert balance() == 15 * money.NANOS
    page.goto(f"{billing}cards/")
    expect(page.get_by_text("Visa •••• 4242").first).to_be_visible()

    # Nothing is below $15 yet; a request's charge is what takes it there.
    refill(page, billing, below="15")
    assert balance() == 15 * money.NANOS
    api.chat.completions.create(model="demo-chat", messages=MESSAGES)
    wait_until(lambda: balance() > 34 * money.NANOS, lambda: f"the refill; the balance is {balance()}")
    page.goto(f"{billing}recharge/")
    expect(page.locator(".tag", has_text="Paid")).to_have_count(1)

    before = balance()
    replace_card(page, billing, DECLINES)
    a_minute_passes(stack)
    refill(page, billing, below="1000")
    wait_until(lambda: failures(stack, organization) == 1, "the card's no")
    page.goto(f"{billing}recharge/")
    expect(page.get_by_text("The last attempt failed.")).to_be_visible()
    assert balance() == before

    replace_card(page, billing, AUTHENTICATES)
    a_minute_passes(stack)
    refill(page, billing, below="1000")
    link = link_to_confirm(mail)
    page.goto(link)
    page.get_by_role("button", name="Confirm the payment").click()
    page.get_by_role("link", name="Go to your bank").click()
    page.locator("#complete").click()
    expect(page.get_by_text("were added to the balance")).to_be_visible()
    page.goto(link)
    expect(page.get_by_text("were added to the balance")).to_be_visible()
    expect(page.get_by_role("button", name="Confirm the payment")).to_have_count(0)
    assert balance() == before + 20 * money.NANOS
    page.goto(f"{billing}recharge/")
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Auto-recharge is off.")).to_be_visible()

    refund(admin, organization, "12.50")
    assert balance() == before + 20 * money.NANOS - 12_500_000_000
    page.goto(link)
    expect(page.get_by_text("$12.50 were taken from the balance")).to_be_visible()
    page.goto(f"{billing}top-ups/")
    expect(page.locator(".tag", has_text="$12.50 refunded")).to_be_visible()
    wait_until(lambda: "$12.50 are refunded" in mail("rita@example.com")["subject"], "the mail about the refund")
    assert_settled(stack)


def type_card(page: Page, number: str) -> None:
    """On Stripe's page; leads back, where the bank doesn't ask first."""
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 40")
    page.get_by_label("CVC").fill("123")
    page.locator("#submit").click()


def refill(page: Page, billing: str, *, below: str) -> None:
    """By $20; saving it anew starts it anew."""
    page.goto(f"{billing}recharge/")
    page.get_by_label("When the balance falls below, dollars").fill(below)
    page.get_by_label("Add, dollars").fill("20")
    page.get_by_label("At most in a calendar month").fill("500")
    page.locator("main form").get_by_role("button", name=re.compile("Turn on|Save")).click()
    expect(page.get_by_text("Auto-recharge is on.")).to_be_visible()


def replace_card(page: Page, billing: str, number: str) -> None:
    page.goto(f"{billing}cards/")
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove the card").click()
    expect(page.get_by_text("No card is saved")).to_be_visible()
    page.get_by_role("button", name="Add a card").click()
    type_card(page, number)
    if number == AUTHENTICATES:
        page.locator("#complete").click()
    expect(page.get_by_text(f"•••• {number[-4:]}").first).to_be_visible()


def refund(admin: Page, organization: str, amount: str) -> None:
    """Some of the newest payment, by staff who have passed the second factor."""
    admin.goto(f"/staff/payments/?q={organization}")
    admin.locator("main table a").first.click()
    admin.get_by_role("link", name="Refund").click()
    expect(admin.get_by_label("Amount")).to_have_value("20.00")
    admin.get_by_label("Amount").fill(amount)
    admin.get_by_label("Reason").fill("Asked for it")
    admin.locator("main form").get_by_role("button", name="Refund").click()
    expect(admin.get_by_text("Refunded. The balance has so much less.")).to_be_visible()
    expect(admin.locator("main table")).to_contain_text(f"${amount}")


def a_minute_passes(stack: Stack) -> None:
    with closing(psycopg.connect(stack.database_url, autocommit=True)) as connection:
        connection.execute(A_MINUTE_PASSES)


def failures(stack: Stack, organization: str) -> int:
    ((count,),) = query(
        stack,
        "SELECT failures FROM billing_autorecharge JOIN accounts_organization o ON o.id = organization_id"
        " WHERE o.public_id = %s",
        organization,
    )
    return int(count)


def link_to_confirm(mail: Mail) -> str:
    """The page that the newest mail leads to, once it is the one about the bank."""
    found: list[str] = []

    def came() -> bool:
        newest = mail("rita@example.com")
        if "wants you to confirm" in newest["subject"]:
            found[:] = re.findall(r"/o/org_\w+/billing/top-ups/\w+/", newest["text"])
        return bool(found)

    wait_until(came, "the mail about the bank")
    return found[0]
