"""What nobody types by accident is answered as a mistake of the sender, not of ours."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization, User
from tests.website.test_keys_pages import form

pytestmark = pytest.mark.django_db
Browse = Callable[[User], Client]


@pytest.mark.parametrize(
    "address",
    [
        "/o/%00/",
        "/o/{org}/keys/%00/",
        "/o/{org}/usage/?model=%00",
        "/account/login/?next=%00",
        "/account/password/reset/key/1-%00/",
        "/api/v1/usage/segments/%00",
        "/static/%00",
    ],
)
def test_an_address_with_nul_names_nothing(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    assert browse(owner).get(address.format(org=organization.public_id)).status_code == 404


@pytest.mark.parametrize("address", ["/staff/organizations/?q=%00", "/staff/audit/?actor=%00", "/admin/?q=a%00"])
def test_neither_does_one_of_staff(staff_browser: Client, address: str) -> None:
    assert staff_browser.get(address).status_code == 404


def test_a_cookie_with_nul_is_no_session(client: Client) -> None:
    assert client.get("/start/", headers={"cookie": 'sessionid="aaaaaaaaa\\000"'}).status_code == 404


def test_a_form_with_nul_is_refused_in_its_field(browse: Browse, owner: User, organization: Organization) -> None:
    browser = browse(owner)
    for address, sent in {
        f"/o/{organization.public_id}/keys/new/": form(name="a\0b"),
        f"/o/{organization.public_id}/settings/": {"name": "a\0b"},
    }.items():
        answer = browser.post(address, sent)
        assert answer.status_code == 200, address
        assert "Null characters are not allowed" in answer.content.decode(), address


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("/account/login/", {"login": "a\0b@example.com", "password": "a\0b"}),
        ("/account/signup/", {"email": "a\0b@example.com", "password1": "a\0b"}),
        ("/account/password/reset/", {"email": "a\0b@example.com"}),
    ],
)
def test_so_is_one_of_a_stranger(client: Client, address: str, sent: dict[str, Any]) -> None:
    answer = client.post(address, sent)
    assert answer.status_code == 200
    assert "invalid" in answer.content.decode()
