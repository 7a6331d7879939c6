"""The main job, as people do it: a browser, the official SDK, and every process real."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import openai
import psycopg
import pytest
from openai import OpenAI
from playwright.sync_api import Page, expect

from tests.devstack.stack import Stack
from tests.e2e.books import assert_settled, query
from tests.waiting import wait_until

PASSWORD = "a long enough passphrase"
# demo-chat costs $0.50 and $1.50, demo-embed $0.02 per 1M tokens.
CHAT_IN, CHAT_OUT, EMBED_IN = 500, 1_500, 20
MESSAGES: Any = [{"role": "user", "content": "hello world"}]
UPSTREAM_CREDENTIAL = "demo-upstream-credential"
CHAT = 2 * CHAT_IN + 4 * CHAT_OUT
Mail = Callable[[str], dict[str, Any]]


def sign_up(page: Page, mail: Mail, email: str) -> None:
    page.goto("/account/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    (link,) = set(re.findall(r"http://\S+/confirm-email/\S+", mail(email)["text"]))
    page.goto(urlsplit(link).path)
    page.get_by_role("button", name="Confirm").click()
    expect(page).to_have_url(re.compile(r"/o/org_\w+/welcome/"))


def create_first_key(page: Page) -> str:
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    assert re.fullmatch(r"km-sk-[0-9A-Za-z]{46}", secret)
    return secret


def client(stack: Stack, secret: str) -> OpenAI:
    # As customers have it: a gateway that can't decide for a moment is asked again.
    return OpenAI(api_key=secret, base_url=stack.api_url)


def test_from_sign_up_to_debit_and_revocation(page: Page, stack: Stack, mail: Mail) -> None:
    sign_up(page, mail, "dana@example.com")
    secret = create_first_key(page)
    for snippet in ("curl", "Python", "JavaScript"):
        expect(page.get_by_text(snippet, exact=True).first).to_be_visible()
    assert secret in page.locator("#snippet-python").inner_text()

    api = client(stack, secret)
    answer = api.chat.completions.create(model="demo-chat", messages=MESSAGES)
    assert answer.choices[0].message.content == "You said: hello world"
    # The page that shows the key learns of it by itself.
    expect(page.get_by_text("It worked, and cost $0.000007")).to_be_visible()

    streamed = api.chat.completions.create(model="demo-chat", messages=MESSAGES, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert text.split() == ["You", "said:", "hello", "world"]
    completion = api.completions.create(model="demo-chat", prompt="once upon a time", max_tokens=3)
    assert completion.choices[0].text == "You said: once"
    vectors = api.embeddings.create(model="demo-embed", input="one two three")
    assert len(vectors.data[0].embedding) == 1536
    assert {"demo-chat", "demo-chat-large", "demo-embed"} <= {model.id for model in api.models.list()}
    total = 2 * CHAT + (4 * CHAT_IN + 3 * CHAT_OUT) + 3 * EMBED_IN

    page.get_by_role("link", name="Overview").first.click()
    figures = page.locator("#overview dl.figures > div")
    expect(figures.filter(has_text="Requests today").locator("dd").first).to_have_text("4")
    expect(figures.filter(has_text="Spend today").get_by_title("$0.000020560")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Spend by day and model"))).to_be_visible()
    page.get_by_role("link", name="Usage").first.click()
    expect(page.locator("tbody tr")).to_have_count(4)
    rows = page.locator("tbody tr").all_inner_texts()
    assert sum("demo-embed" in row for row in rows) == 1
    assert sum("$0.000007000" in row for row in rows) == 2

    (organization,) = query(
        stack, "SELECT id FROM accounts_organization WHERE name LIKE 'dana%%' OR name LIKE 'Dana%%'"
    )
    charges = query(
        stack,
        "SELECT charge_nanos, stream FROM billing_usageevent WHERE organization_id = %s ORDER BY id",
        *organization,
    )
    assert charges == [(CHAT, False), (CHAT, True), (4 * CHAT_IN + 3 * CHAT_OUT, False), (3 * EMBED_IN, False)]
    assert_settled(stack)
    balance = "SELECT nanos FROM billing_balance WHERE organization_id = %s"
    assert query(stack, balance, *organization) == [(5 * 10**9 - total,)]
    entries = "SELECT sum(amount_nanos)::bigint FROM billing_ledgerentry WHERE organization_id = %s"
    assert query(stack, entries, *organization) == [(5 * 10**9 - total,)]

    # The receipt says how the charge came about.
    page.locator("tbody tr a").first.click()
    expect(page.locator("main")).to_contain_text("$0.02 / 1M")
    expect(page.locator("tfoot .money")).to_have_text("$0.000000060")

    page.get_by_role("link", name="API keys").first.click()
    page.locator("tbody tr a").first.click()
    page.get_by_role("link", name=re.compile("Revoke")).click()
    name = re.search("“(.+)”", page.get_by_role("heading", level=1).inner_text())
    assert name
    page.locator("main input[type=text]").fill(name.group(1))
    page.get_by_role("button", name="Revoke key").click()
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        api.models.list()


def test_the_newest_secret_is_nowhere_to_be_found_again(page: Page, stack: Stack, mail: Mail) -> None:
    sign_up(page, mail, "secretive@example.com")
    secret = create_first_key(page)
    client(stack, secret).chat.completions.create(model="demo-chat", messages=MESSAGES)
    page.reload()
    assert secret not in page.content()
    for path in (stack.var / "log").glob("*.log"):
        assert secret.encode() not in path.read_bytes(), path
    with psycopg.connect(stack.database_url) as connection:
        for (table,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall():
            rows = connection.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{secret[8:40]}%"])
            assert rows.fetchone() == (0,), table


def test_an_admin_changes_a_price_for_later_requests_and_adjusts_a_balance(
    page: Page, admin: Page, stack: Stack, mail: Mail
) -> None:
    sign_up(page, mail, "erin@example.com")
    secret = create_first_key(page)
    api = client(stack, secret)
    api.chat.completions.create(model="demo-chat-large", messages=MESSAGES)
    page = admin

    page.goto("/staff/prices/")
    page.get_by_role("link", name="demo-chat-large").click()
    page.get_by_label("Input tokens", exact=True).first.fill("7")
    page.get_by_label("Output tokens", exact=True).first.fill("0.001")
    page.get_by_label("Reason", exact=True).fill("Test of a new price")
    page.get_by_role("button", name="Publish prices").click()
    expect(page.get_by_text("Test of a new price").first).to_be_visible()
    time.sleep(
        3
    )  # A price holds from two seconds after it is published, and a request has the price of its own moment.
    api.chat.completions.create(model="demo-chat-large", messages=MESSAGES)
    assert_settled(stack)
    charges = query(
        stack,
        "SELECT charge_nanos FROM billing_usageevent e JOIN accounts_organization o ON o.id = organization_id"
        " WHERE o.name ILIKE 'erin%%' ORDER BY e.id",
    )
    assert charges == [(2 * 3_000 + 4 * 15_000,), (2 * 7_000 + 4 * 1,)]

    page.goto("/staff/organizations/?q=erin")
    page.locator("tbody tr a").first.click()
    page.get_by_role("link", name=re.compile("Adjust")).click()
    page.get_by_label("Amount", exact=False).first.fill("12.50")
    page.get_by_label("Reason", exact=True).fill("Goodwill")
    page.get_by_role("button", name=re.compile("Adjust")).click()
    spent = sum(nanos for (nanos,) in charges)
    balance = (
        "SELECT nanos FROM billing_balance JOIN accounts_organization o ON o.id = organization_id"
        " WHERE o.name ILIKE 'erin%%'"
    )
    assert query(stack, balance) == [(5 * 10**9 + 12_500_000_000 - spent,)]
    actions = query(stack, "SELECT action FROM accounts_auditentry WHERE staff ORDER BY id")
    assert [action for (action,) in actions][-2:] == ["prices.publish", "balance.adjust"]


def test_staff_pages_want_a_second_factor(page: Page, stack: Stack) -> None:
    page.goto("/account/login/")
    page.get_by_label("Email").fill(stack.demo["admin_email"])
    page.get_by_label("Password", exact=True).fill(stack.demo["admin_password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("input[name=code]")).to_be_visible()
    for path in ("/staff/", "/staff/prices/", "/admin/"):
        page.goto(path)
        assert "/account/" in page.url


def test_an_admin_sells_a_model_of_another_upstream_and_stops_selling_it(
    page: Page, admin: Page, stack: Stack, mail: Mail
) -> None:
    sign_up(page, mail, "frank@example.com")
    api = client(stack, create_first_key(page))
    page = admin

    page.goto("/admin/catalog/upstream/add/")
    for field, value in (("name", "second"), ("base_url", stack.models_url), ("new_credential", UPSTREAM_CREDENTIAL)):
        page.locator(f"input[name={field}]").fill(value)
    page.get_by_role("button", name="Save", exact=True).click()
    assert UPSTREAM_CREDENTIAL not in page.content()

    page.goto("/admin/catalog/model/add/")
    for field, value in (("public_id", "ours/large:1"), ("name", "Ours"), ("owned_by", "us")):
        page.locator(f"input[name={field}]").fill(value)
    page.get_by_label("Chat completions").check()
    page.locator("select[name=routes-0-upstream]").select_option(label="second")
    page.locator("input[name=routes-0-upstream_model]").fill("demo-chat")
    page.get_by_role("button", name="Save", exact=True).click()
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="ours/large:1", messages=MESSAGES)

    page.goto("/staff/prices/")
    page.get_by_role("link", name="ours/large:1").click()
    page.get_by_label("Input tokens", exact=True).first.fill("1")
    page.get_by_label("Output tokens", exact=True).first.fill("2")
    page.get_by_label("Reason", exact=True).fill("First price")
    page.get_by_role("button", name="Publish prices").click()
    wait_until(
        lambda: "ours/large:1" in {model.id for model in api.models.list()}, "the model to be for sale", every=0.2
    )
    answer = api.chat.completions.create(model="ours/large:1", messages=MESSAGES)
    assert answer.model == "ours/large:1"
    assert_settled(stack)
    charges = (
        "SELECT e.charge_nanos FROM billing_usageevent e JOIN catalog_model m ON m.id = model_id WHERE public_id = %s"
    )
    assert query(stack, charges, "ours/large:1") == [(2 * 1_000 + 4 * 2_000,)]

    page.goto("/admin/catalog/model/")
    page.get_by_role("link", name="ours/large:1").click()
    page.locator("input[name=enabled]").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    wait_until(
        lambda: "ours/large:1" not in {model.id for model in api.models.list()}, "the end of its sale", every=0.2
    )
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="ours/large:1", messages=MESSAGES)


def test_a_model_id_of_200_characters_fits_a_phone(page: Page, mail: Mail) -> None:
    sign_up(page, mail, "wide@example.com")
    page.set_viewport_size({"width": 390, "height": 800})
    keys = page.url.replace("/welcome/", "/keys/")
    page.goto(f"{keys}new/")
    page.get_by_label("Name").fill("all of one model")
    page.get_by_label("Only these models").check()
    page.get_by_label("And those that fit").fill("m" * 200)
    page.get_by_role("button", name="Create key").click()
    page.goto(keys)
    page.get_by_role("link", name="all of one model").click()
    expect(page.get_by_text("m" * 200)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
