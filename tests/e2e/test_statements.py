"""Statements in a browser: had drawn, read, taken along; and the night that they wait for, as staff see it."""

import re
from pathlib import Path

import psycopg
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from tests.devstack.stack import Stack, command
from tests.e2e.test_story import Mail, create_first_key, sign_up
from tests.waiting import wait_until

# What was granted at the sign-up, a day sooner: statements are of days that are over.
YESTERDAY = """
WITH moved AS (
    UPDATE billing_ledgertransaction SET event_day = event_day - 1 WHERE organization_id = (
        SELECT id FROM accounts_organization WHERE public_id = %s
    ) RETURNING id, event_day
)
UPDATE billing_ledgerentry SET event_day = moved.event_day FROM moved WHERE transaction_id = moved.id
"""


def be_a_day_older(stack: Stack, organization: str) -> None:
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(YESTERDAY, [organization])


def night_is_done(stack: Stack) -> bool:
    """Also where beat did it a moment ago, or is at it."""
    told = command(stack, "manage.py", "nightly")
    return "..." not in told


def test_an_owner_has_a_statement_drawn_and_takes_it_along(page: Page, stack: Stack, mail: Mail) -> None:
    sign_up(page, mail, "accountant@example.com")
    create_first_key(page)
    found = re.search(r"/o/(org_\w+)/", page.url)
    assert found
    be_a_day_older(stack, found[1])
    wait_until(lambda: night_is_done(stack), "the night's steps", within=120)

    page.goto(f"/o/{found[1]}/")
    page.get_by_role("link", name="Statements").click()
    expect(page.get_by_text("No statement yet")).to_be_visible()
    page.get_by_role("button", name="Draw one now").click()
    expect(page.get_by_role("heading", name="Statement 1")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Opening balance"))).to_contain_text("$0.00")
    expect(page.get_by_role("row", name=re.compile("Closing balance"))).to_contain_text("$5.00")
    expect(page.get_by_text("Free starting balance")).to_be_visible()

    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    assert Path(taken.value.path()).read_text().splitlines()[-1].endswith(",5.000000000")
    with page.expect_download() as taken:
        page.get_by_role("link", name="PDF").click()
    assert "$5.000000000" in PdfReader(taken.value.path()).pages[0].extract_text()

    page.get_by_role("link", name="Statements").first.click()
    page.get_by_role("button", name="Draw one now").click()
    expect(page.get_by_text(re.compile("Statement 1 goes through .* already"))).to_be_visible()
