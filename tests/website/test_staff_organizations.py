"""Staff look an organization up, adjust its balance once, suspend and reinstate it; each leaves an entry."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client, override_settings

from accounts.models import Alarm, ApiKey, AuditEntry, Organization, User
from accounts.models.alarm import raise_alarm
from billing.models import Balance, LedgerTransaction
from catalog.models import Model
from hotstate import names
from hotstate.records import Limits
from tests.cast import make_organization
from tests.website.browsing import use


def adjustment(**fields: str) -> dict[str, str]:
    return {"operation_id": str(uuid4()), "direction": "give", "amount": "25.000000001", "reason": "Outage", **fields}


class TestAdjusting:
    def test_sent_twice_it_adjusts_once(self, staff_browser: Client, staff: User, organization: Organization) -> None:
        address, sent = f"/staff/organizations/{organization.public_id}/adjust/", adjustment()
        for _ in range(2):
            assert staff_browser.post(address, sent).status_code == 302
        assert Balance.objects.get(organization=organization).nanos == 25_000_000_001
        assert LedgerTransaction.objects.get().reason == "Outage"
        entry = AuditEntry.objects.get(action="balance.adjust")
        assert (entry.actor, entry.staff, entry.reason) == (staff, True, "Outage")
        assert entry.after["nanos"] == 25_000_000_001

    def test_money_can_be_taken(self, staff_browser: Client, organization: Organization) -> None:
        address = f"/staff/organizations/{organization.public_id}/adjust/"
        staff_browser.post(address, adjustment())
        staff_browser.post(address, adjustment(direction="take", amount="5"))
        assert Balance.objects.get(organization=organization).nanos == 20_000_000_001

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"amount": "0"}, "Zero adjusts nothing"),
            ({"amount": ""}, "This field is required"),
            ({"amount": "1,5"}, "Write decimals with a point"),
            ({"reason": " "}, "This field is required"),
            ({"direction": "both"}, "not one of the available choices"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, staff_browser: Client, organization: Organization, wrong: dict[str, str], complaint: str
    ) -> None:
        answer = staff_browser.post(f"/staff/organizations/{organization.public_id}/adjust/", adjustment(**wrong))
        assert complaint in answer.content.decode()
        assert not LedgerTransaction.objects.exists()

    @pytest.mark.parametrize("direction", ["give", "take"])
    def test_a_balance_that_would_not_fit_is_refused_in_the_form(
        self, staff_browser: Client, organization: Organization, direction: str
    ) -> None:
        address = f"/staff/organizations/{organization.public_id}/adjust/"
        assert staff_browser.post(address, adjustment(direction=direction, amount="9000000000")).status_code == 302
        answer = staff_browser.post(address, adjustment(direction=direction, amount="0.000000001"))
        assert answer.status_code == 200
        assert "be beyond ±$9,000,000,000" in answer.content.decode()
        assert LedgerTransaction.objects.count() == 1
        assert abs(Balance.objects.get(organization=organization).nanos) == 9 * 10**18

    def test_asking_shows_the_form_and_moves_nothing(self, staff_browser: Client, organization: Organization) -> None:
        assert staff_browser.get(f"/staff/organizations/{organization.public_id}/adjust/").status_code == 200
        assert not LedgerTransaction.objects.exists()


@pytest.mark.django_db(transaction=True)
@override_settings(PREVIEW_ENDPOINTS=["responses", "embeddings"])
def test_previews_are_opened_and_closed(
    staff_browser: Client, staff: User, organization: Organization, empty_valkey: Any
) -> None:
    address = f"/staff/organizations/{organization.public_id}/previews/"
    assert f'href="{address}"' in staff_browser.get(organization_page(organization)).content.decode()
    assert "/embeddings" in staff_browser.get(address).content.decode()
    assert "required" in staff_browser.post(address, {"previews": ["responses"]}).content.decode()
    wrong = staff_browser.post(address, {"previews": ["chat.completions"], "reason": "Asked"})
    assert "not one of the available choices" in wrong.content.decode()
    assert staff_browser.post(address, {"previews": ["responses"], "reason": "Asked"}).status_code == 302
    organization.refresh_from_db()
    assert (organization.previews, organization.record().previews) == (["responses"], ("responses",))
    entry = AuditEntry.objects.get(action="organization.previews")
    assert (entry.actor, entry.staff, entry.after) == (staff, True, {"previews": ["responses"]})
    assert "checked" in staff_browser.get(address).content.decode()
    staff_browser.post(address, {"reason": "Over"})
    organization.refresh_from_db()
    assert organization.previews == []


def test_without_previews_nothing_is_offered(staff_browser: Client, organization: Organization) -> None:
    assert "/previews/" not in staff_browser.get(organization_page(organization)).content.decode()


def organization_page(organization: Organization) -> str:
    return f"/staff/organizations/{organization.public_id}/"


@pytest.mark.django_db(transaction=True)
def test_suspending_and_reinstating(
    staff_browser: Client, staff: User, organization: Organization, empty_valkey: Any
) -> None:
    address = f"/staff/organizations/{organization.public_id}/"
    staff_browser.post(f"{address}suspend/", {"reason": "Fraud"})
    organization.refresh_from_db()
    assert organization.suspended_at is not None
    staff_browser.post(f"{address}reinstate/", {"reason": "A mistake"})
    organization.refresh_from_db()
    assert organization.suspended_at is None
    told = AuditEntry.objects.filter(staff=True).order_by("id").values_list("action", "reason")
    assert list(told) == [("organization.suspend", "Fraud"), ("organization.reinstate", "A mistake")]


@pytest.mark.django_db(transaction=True)
class TestLimits:
    def form(self, **fields: str) -> dict[str, str]:
        return {"requests_per_minute": "60", "overdraft": "12.50", "reason": "Enterprise contract", **fields}

    def test_they_are_set_audited_and_at_the_gateways(
        self, staff_browser: Client, staff: User, organization: Organization, empty_valkey: Any
    ) -> None:
        address = f"/staff/organizations/{organization.public_id}/limits/"
        assert staff_browser.post(address, self.form()).status_code == 302
        organization.refresh_from_db()
        assert organization.limits == Limits(requests_per_minute=60)
        assert organization.overdraft_nanos == 12_500_000_000
        entry = AuditEntry.objects.get(action="organization.limits")
        assert (entry.actor, entry.reason) == (staff, "Enterprise contract")
        published = empty_valkey.hgetall(names.organization_hash(organization.public_id))
        assert (published[b"requests_per_minute"], published[b"overdraft"]) == (b"60", b"12500000000")
        page = staff_browser.get(address).content.decode()
        assert 'value="60"' in page
        assert 'value="12.50"' in page

    @pytest.mark.parametrize(
        "wrong", [{"requests_per_minute": "0"}, {"tokens_per_minute": "-1"}, {"overdraft": "x"}, {"reason": ""}]
    )
    def test_what_is_wrong_is_said(
        self, staff_browser: Client, organization: Organization, wrong: dict[str, str]
    ) -> None:
        address = f"/staff/organizations/{organization.public_id}/limits/"
        assert staff_browser.post(address, self.form(**wrong)).status_code == 200
        organization.refresh_from_db()
        assert organization.limits == Limits()


class TestLookingUp:
    @pytest.mark.parametrize("query", ["acm", "owner@", "{id}"])
    def test_by_name_member_or_id(self, staff_browser: Client, organization: Organization, query: str) -> None:
        make_organization("Other")
        page = staff_browser.get("/staff/organizations/", {"q": query.format(id=organization.public_id)})
        assert "Acme" in page.content.decode()
        assert ">Other<" not in page.content.decode()

    def test_many_cost_the_same_queries_and_come_in_pages(
        self, staff_browser: Client, django_assert_max_num_queries: Any
    ) -> None:
        now = datetime.now(UTC)
        Organization.objects.bulk_create(Organization(name=f"Customer {place}", created_at=now) for place in range(60))
        with django_assert_max_num_queries(8):
            page = staff_browser.get("/staff/organizations/").content.decode()
        assert "Customer 59" in page
        assert "Customer 9<" not in page
        assert "before=" in page

    def test_one_shows_ledger_and_hints_of_keys(
        self, staff_browser: Client, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        use(key, model)
        page = staff_browser.get(f"/staff/organizations/{organization.public_id}/").content.decode()
        assert key.secrets.get().hint in page
        assert "usage:" in page


def test_closing_an_alarm_leaves_an_entry(staff_browser: Client, staff: User) -> None:
    raise_alarm("segment.stuck", "gw-1", "", now=datetime.now(UTC))
    alarm = Alarm.objects.get()
    for _ in range(2):
        staff_browser.post(f"/staff/alarms/{alarm.pk}/close/")
    alarm.refresh_from_db()
    assert alarm.closed_by == staff
    assert AuditEntry.objects.get().action == "alarm.close"


def test_the_audit_trail_is_filtered_as_the_address_says(
    staff_browser: Client, organization: Organization, key: ApiKey
) -> None:
    page = staff_browser.get("/staff/audit/", {"action": "key."}).content.decode()
    assert "key.create" in page
    assert "organization.open" not in page


@pytest.mark.django_db(transaction=True)
def test_a_suspension_shows_since_when_every_gateway_refuses(
    staff_browser: Client, organization: Organization, empty_valkey: Any
) -> None:
    address = f"/staff/organizations/{organization.public_id}/"
    page = staff_browser.post(f"{address}suspend/", {"reason": "Fraud"}, follow=True).content.decode()
    organization.refresh_from_db()
    assert organization.published_at
    told = f"{organization.published_at:%Y-%m-%d %H:%M:%S}.{organization.published_at.microsecond // 1000:03} UTC"
    assert re.search(rf"Refused everywhere</strong>\s+since <time [^>]+>{told}</time>", page)


def test_a_suspension_that_gateways_don_t_have_yet_is_said_until_they_do(
    staff_browser: Client, organization: Organization, no_valkey: None
) -> None:
    address = f"/staff/organizations/{organization.public_id}/"
    page = staff_browser.post(f"{address}suspend/", {"reason": "Fraud"}, follow=True).content.decode()
    assert "Suspended here, but the gateways don't have it yet" in re.sub("<[^>]+>", "", page)
    assert f'hx-get="{address}in-force/"' in page
    Organization.objects.update(published_version=99)
    part = staff_browser.get(f"{address}in-force/", headers={"HX-Request": "true"}).content.decode()
    assert "Refused everywhere" in part
    assert "hx-get" not in part
    assert staff_browser.get(f"{address}in-force/")["Location"] == address
