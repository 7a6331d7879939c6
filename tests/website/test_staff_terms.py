"""Staff give an organization its own prices: from now or later, never backwards, with a history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Organization, User
from billing.models import OrganizationTerms, PriceList
from tests.cast import make_model, make_price_list, set_prices

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address(organization: Organization) -> str:
    return f"/staff/organizations/{organization.public_id}/terms/"


def form(**fields: Any) -> dict[str, Any]:
    return {"own_discount_bp": "12.5", "starts": "now", "reason": "Enterprise contract", **fields}


def test_they_are_set_audited_and_at_the_gateways(
    staff_browser: Client, staff: User, organization: Organization, address: str, empty_valkey: Any
) -> None:
    enterprise = make_price_list()
    assert staff_browser.post(address, form(own_price_list=enterprise.pk)).status_code == 302
    organization.refresh_from_db()
    assert organization.in_force
    (terms,) = organization.record().terms
    assert (terms.own_list, terms.own_discount_bp) == (enterprise.pk, 1250)
    entry = AuditEntry.objects.get(action="organization.terms")
    assert (entry.actor, entry.reason) == (staff, "Enterprise contract")
    page = staff_browser.get(address).content.decode()
    assert "12.5% off" in page
    assert "Enterprise contract" in page


def test_they_may_begin_later_and_what_holds_now_stands_in_the_form(
    staff_browser: Client, organization: Organization, address: str, empty_valkey: Any
) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    OrganizationTerms.objects.create(
        organization=organization, effective_from=long_ago, created_at=long_ago, own_discount_bp=500
    )
    assert 'value="5"' in staff_browser.get(address).content.decode()
    at = (datetime.now(UTC) + timedelta(days=9)).replace(second=0, microsecond=0)
    later = form(own_discount_bp="", starts="scheduled", effective_from=f"{at:%Y-%m-%dT%H:%M}")
    assert staff_browser.post(address, later).status_code == 302
    latest = OrganizationTerms.objects.latest("id")
    assert (latest.effective_from, latest.own_discount_bp) == (at, None)
    page = staff_browser.get(address).content.decode()
    assert "coming" in page
    assert "in force" in page


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"own_discount_bp": "101"}, "0 to 100 percent"),
        ({"own_discount_bp": "-1"}, "0 to 100 percent"),
        ({"own_discount_bp": "1.001"}, "at most two decimals"),
        ({"own_discount_bp": "1,5"}, "with a point"),
        ({"own_discount_bp": "NaN"}, "0 to 100 percent"),
        ({"own_price_list": "999999"}, "not one of the available choices"),
        ({"reason": " "}, "This field is required"),
        ({"starts": "scheduled"}, "Say when"),
        ({"starts": "scheduled", "effective_from": "2020-01-01T00:00"}, "is over"),
    ],
)
def test_what_is_wrong_is_said(staff_browser: Client, address: str, wrong: dict[str, str], complaint: str) -> None:
    answer = staff_browser.post(address, form(**wrong))
    assert complaint in answer.content.decode()
    assert not OrganizationTerms.objects.exists()


def test_price_lists_are_opened_once(staff_browser: Client, staff: User) -> None:
    for _ in range(2):
        answer = staff_browser.post("/staff/prices/lists/", {"name": "Enterprise"})
    assert "There is a price list Enterprise already" in answer.content.decode()
    enterprise = PriceList.objects.get()
    assert AuditEntry.objects.get(action="price_list.open").actor == staff
    set_prices(make_model(), {"input_tokens": (1, 1)}, price_list=enterprise)
    page = staff_browser.get("/staff/prices/lists/").content.decode()
    assert f"?list={enterprise.pk}" in page


def test_nobody_else_sees_or_changes_terms(client: Client, owner: User, address: str) -> None:
    client.force_login(owner)
    for path in (address, "/staff/prices/lists/"):
        assert client.get(path).status_code in (302, 403, 404)
        assert client.post(path, form(name="mine")).status_code in (302, 403, 404)
    assert not OrganizationTerms.objects.exists()
    assert not PriceList.objects.exists()
