"""The strict policy is on every page, and nothing on a page needs less."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from catalog.models import Model
from tests.cast import make_dispute, make_refund, make_top_up
from tests.website.browsing import use

POLICY = "default-src 'none'"
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)|<style|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:|src=[\"']https?:|@import",
    re.IGNORECASE,
)
PUBLIC = [
    "/",
    "/docs/",
    "/docs/charging/",
    "/account/login/",
    "/account/signup/",
    "/account/password/reset/",
    "/account/confirm-email/",
    "/account/confirm-email/wrong/",
    "/account/password/reset/key/1-wrong/",
    "/nothing",
]


def assert_clean(answer: Any) -> None:
    policy = answer["Content-Security-Policy"]
    assert POLICY in policy
    assert "unsafe" not in policy
    assert not INLINE.search(answer.content.decode()), INLINE.search(answer.content.decode())


@pytest.mark.django_db
@pytest.mark.parametrize("address", PUBLIC)
def test_public_pages(client: Client, model: Model, address: str) -> None:
    assert_clean(client.get(address))


def test_pages_of_an_organization(
    browse: Callable[[User], Client], owner: User, organization: Organization, key: ApiKey, model: Model
) -> None:
    event = use(key, model)[0]
    top_up = make_top_up(organization)
    browser = browse(owner)
    for page in (
        "",
        "welcome/",
        "keys/",
        "keys/new/",
        f"keys/{key.public_id}/",
        f"keys/{key.public_id}/revoke/",
        "usage/",
        f"requests/{event.id}/",
        "settings/",
        "billing/top-ups/",
        "billing/redeem/",
        "billing/details/",
        f"billing/top-ups/{top_up.public_id}/",
        f"billing/top-ups/{top_up.public_id}/receipt/",
    ):
        answer = browser.get(f"/o/{organization.public_id}/{page}")
        assert answer.status_code == 200, page
        assert_clean(answer)


@pytest.mark.parametrize("page", ["email", "password/change", "2fa", "2fa/totp/activate", "sessions", "logout"])
def test_pages_of_an_account(browse: Callable[[User], Client], owner: User, page: str) -> None:
    assert_clean(browse(owner).get(f"/account/{page}/", follow=True))


def test_staff_pages(staff_browser: Client, organization: Organization, key: ApiKey, model: Model) -> None:
    use(key, model)
    top_up = make_top_up(organization)
    make_refund(top_up)
    make_dispute(top_up, status="needs_response", reinstated=False)
    one = f"organizations/{organization.public_id}/"
    for page in (
        "",
        "prices/",
        f"prices/{model.pk}/",
        "organizations/",
        one,
        f"{one}adjust/",
        f"{one}suspend/",
        f"{one}reinstate/",
        f"{one}terms/",
        "prices/lists/",
        "payments/",
        "promotions/",
        "promotions/new/",
        f"payments/{top_up.public_id}/",
        f"payments/{top_up.public_id}/refund/",
        "audit/",
    ):
        answer = staff_browser.get(f"/staff/{page}")
        assert answer.status_code == 200, page
        assert_clean(answer)


def test_a_broken_page_is_clean_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("website.catalogue.catalogue", broken)
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.content.decode()
    assert_clean(answer)


def test_what_was_typed_is_shown_as_text(
    browse: Callable[[User], Client], owner: User, organization: Organization
) -> None:
    browser = browse(owner)
    name = "<script>alert(1)</script>"
    browser.post(f"/o/{organization.public_id}/settings/", {"name": name})
    page = browser.get(f"/o/{organization.public_id}/").content.decode()
    assert name not in page
    assert "&lt;script&gt;" in page
