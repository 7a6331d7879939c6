"""What nobody types by accident is answered as a mistake of the sender, not of ours."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import OrganizationTerms, PriceVersion, RouteCost, Subscription
from catalog.models import Model
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


@pytest.mark.parametrize(
    "moment",
    [
        "9999-12-31T23:59-14:00",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00",
        "1999-12-31T23:59",
        "2201-01-01T00:00",
    ],
)
class TestMomentsOutOfBounds:
    """Time zones and milliseconds of such a moment can't be computed everywhere."""

    def test_nothing_of_staff_starts_then(
        self, staff_browser: Client, organization: Organization, model: Model, moment: str
    ) -> None:
        before = PriceVersion.objects.count()
        starts = {"starts": "scheduled", "effective_from": moment, "reason": "x"}
        for address, sent in {
            f"/staff/prices/{model.pk}/": {"amount_input_tokens": "1", **starts},
            f"/staff/prices/routes/{model.routes.get().pk}/cost/": {"amount_input_tokens": "1", **starts},
            f"/staff/organizations/{organization.public_id}/terms/": {"own_discount_bp": "5", **starts},
        }.items():
            page = staff_browser.post(address, sent)
            assert "Choose a time from the year 2000 to 2200." in page.content.decode(), address
        assert PriceVersion.objects.count() == before
        assert not RouteCost.objects.exists()
        assert not OrganizationTerms.objects.exists()

    def test_neither_does_a_plan(
        self, browse: Browse, owner: User, staff_browser: Client, organization: Organization, moment: str
    ) -> None:
        offered = {"name": "Pro", "slug": "pro", "period": "month", "fee": "0", "public": "on", "reason": "x"}
        staff_browser.post("/staff/plans/new/", offered)
        address = f"/o/{organization.public_id}/billing/plans/pro/"
        answer = browse(owner).post(address, {"when": "now", "at": moment, "shown": "0"})
        assert answer.status_code == 200
        assert not Subscription.objects.exists()


@pytest.mark.parametrize("typed", ["NaN", "sNaN", "1e999999", "1E+9", "-1", "100.01", "1_0", "\u0661\u0662", "12.345"])
def test_a_discount_that_is_no_percentage_is_refused_in_its_field(
    staff_browser: Client, organization: Organization, typed: str
) -> None:
    address = f"/staff/organizations/{organization.public_id}/terms/"
    page = staff_browser.post(address, {"own_discount_bp": typed, "starts": "now", "reason": "x"})
    assert page.context["form"].errors.keys() == {"own_discount_bp"}
    offered = {"name": "Pro", "slug": "pro", "period": "month", "fee": "1", "discount": typed, "reason": "x"}
    assert staff_browser.post("/staff/plans/new/", offered).context["form"].errors.keys() == {"discount"}
    assert not OrganizationTerms.objects.exists()
