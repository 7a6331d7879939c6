"""One running Keymeter for the end-to-end tests, and a browser."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from devstack.totp import code
from tests.devstack.stack import Stack, remove_data, running_stack

# A machine that does other work too takes its time.
PATIENCE_MS = 30_000
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`manage.py dev` with engines and data of its own; nothing of it may be left at the end."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder) as stack:
        yield stack
    remove_data(folder / "var")


@pytest.fixture
def mail(stack: Stack) -> Callable[[str], dict[str, Any]]:
    """`mail(to)` is the newest mail to an address, waited for."""
    return stack.mail


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One per file: while Playwright is open this thread has a running event loop, which other tests can't have."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["KEYMETER_CHROMIUM"], args=list(CHROMIUM_OPTIONS)
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page in a context of its own (no cookies yet), with the console as its base address."""
    context = browser.new_context(base_url=stack.console_url, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def admin(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page on which the demo admin has signed in, once: a code counts only once."""
    context = browser.new_context(base_url=stack.console_url, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/account/login/")
    page.get_by_label("Email").fill(stack.demo["admin_email"])
    page.get_by_label("Password", exact=True).fill(stack.demo["admin_password"])
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=code]").fill(_fresh_code(stack))
    page.locator("main button[type=submit]").first.click()
    expect(page.locator("input[name=code]")).to_have_count(0)
    yield page
    context.close()


_used_codes: set[str] = set()


def _fresh_code(stack: Stack) -> str:
    """One that no file before has used."""
    while (found := code(stack.demo["admin_totp_secret"], time.time())) in _used_codes:
        time.sleep(0.2)
    _used_codes.add(found)
    return found
