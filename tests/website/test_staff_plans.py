"""Staff make plans, give them new versions, archive them, and give them to organizations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, Organization, User
from billing.models import Balance, Plan, PlanVersion, Subscription
from billing.plans.choosing import choose
from hotstate.records import Limits
from tests.cast import DOLLAR, give_credit, make_organization, make_plan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]


def typed(**fields: str) -> dict[str, str]:
    return {
        "name": "Pro",
        "slug": "pro",
        "description": "For teams",
        "public": "on",
        "period": "month",
        "fee": "20",
        "included_credit": "10.50",
        "overdraft": "",
        "discount": "12.5",
        "models": "demo-*\nother",
        "requests_per_minute": "600",
        "reason": "Launch",
        **fields,
    }


def test_a_plan_is_made_and_audited(staff_browser: Client, staff: User) -> None:
    answer = staff_browser.post("/staff/plans/new/", typed(), follow=True)
    assert "Pro is there." in answer.content.decode()
    version = PlanVersion.objects.get()
    assert (version.fee_nanos, version.included_credit_nanos) == (20 * DOLLAR, 10_500_000_000)
    assert version.discount_bp == 1250
    assert (version.allowed_models, version.limits) == (["demo-*", "other"], Limits(requests_per_minute=600))
    assert set(AuditEntry.objects.filter(actor=staff).values_list("action", "reason")) == {
        ("plan.create", "Launch"),
        ("plan.version", "Launch"),
    }
    assert "Pro" in staff_browser.get("/staff/plans/").content.decode()


def test_a_slug_is_taken_once(staff_browser: Client) -> None:
    make_plan()
    answer = staff_browser.post("/staff/plans/new/", typed())
    assert "There is a plan pro already." in answer.content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"fee": "-1"},
        {"fee": "1.0000000001"},
        {"fee": ""},
        {"fee": "99999999999999"},
        {"fee": "1000000.01"},
        {"included_credit": "1000001"},
        {"discount": "100.01"},
        {"discount": "1.234"},
        {"period": "week"},
        {"requests_per_minute": "0"},
        {"slug": "two words"},
        {"models": "x" * 201},
        {"reason": ""},
    ],
)
def test_what_is_wrong_is_said_beside_its_field(staff_browser: Client, wrong: dict[str, str]) -> None:
    answer = staff_browser.post("/staff/plans/new/", typed(**wrong))
    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == set(wrong)
    assert not Plan.objects.exists()


def test_a_new_version_begins_from_the_last_and_leaves_who_has_it(
    staff_browser: Client, organization: Organization
) -> None:
    version = make_plan(limits=Limits(requests_per_minute=600), discount_bp=505)
    give_credit(organization, 100 * DOLLAR)
    choose(organization, version, actor=None, now=datetime.now(UTC))
    form = staff_browser.get("/staff/plans/pro/version/").context["form"]
    sent = {name: form[name].value() or "" for name in form.fields}
    assert (sent["fee"], sent["discount"], sent["requests_per_minute"]) == ("20.00", "5.05", 600)
    staff_browser.post("/staff/plans/pro/version/", {**sent, "fee": "25", "reason": "Costs"})
    fees = PlanVersion.objects.order_by("number").values_list("fee_nanos", flat=True)
    assert list(fees) == [20 * DOLLAR, 25 * DOLLAR]
    assert Subscription.objects.get().version == version
    page = staff_browser.get("/staff/plans/pro/").content.decode()
    assert "Version 2" in page
    assert "1 subscriber<" in page
    assert organization.name in page


def test_it_is_archived_and_offered_again(staff_browser: Client) -> None:
    make_plan()
    staff_browser.post("/staff/plans/pro/archive/", {"reason": "Old"})
    assert Plan.objects.get().archived_at
    staff_browser.post("/staff/plans/pro/archive/", {"reason": "Missed"})
    assert Plan.objects.get().archived_at is None
    staff_browser.post("/staff/plans/pro/", {"name": "Professional", "description": ""})
    assert (Plan.objects.get().name, Plan.objects.get().public) == ("Professional", False)


class TestGiving:
    def test_also_a_private_plan_and_it_is_audited(
        self, staff_browser: Client, staff: User, organization: Organization
    ) -> None:
        give_credit(organization, 100 * DOLLAR)
        version = make_plan("deal", public=False)
        address = f"/staff/organizations/{organization.public_id}/plan/"
        assert "$20.00" in staff_browser.get(address).content.decode()
        staff_browser.post(address, {"plan": version.pk, "when": "now", "reason": "Contract"})
        assert Subscription.objects.get().version == version
        entry = AuditEntry.objects.get(action="plan.choose")
        assert (entry.actor, entry.reason, entry.staff) == (staff, "Contract", True)
        assert "deal" in staff_browser.get(f"/staff/organizations/{organization.public_id}/").content.decode()
        page = staff_browser.get(f"{address}end/").content.decode()
        assert "Comes back to the balance" in page
        staff_browser.post(f"{address}end/", {"reason": "Left"})
        assert Subscription.objects.get().ended_at
        assert Balance.objects.get(organization=organization).nanos > 99 * DOLLAR

    def test_what_it_can_not_pay_is_said(self, staff_browser: Client, organization: Organization) -> None:
        version = make_plan()
        address = f"/staff/organizations/{organization.public_id}/plan/"
        answer = staff_browser.post(address, {"plan": version.pk, "when": "now", "reason": "x"})
        assert "doesn&#x27;t cover the fee" in answer.content.decode()
        answer = staff_browser.post(address, {"plan": version.pk, "when": "end", "reason": "x"})
        assert "There is no plan to change." in answer.content.decode()


def test_pages_ask_few_questions(staff_browser: Client, organization: Organization) -> None:
    now = datetime.now(UTC) - timedelta(days=1)
    for number in range(30):
        make_plan(f"plan-{number}", fee_nanos=0)
    version = PlanVersion.objects.get(plan__slug="plan-1")
    for number in range(30):
        choose(make_organization(f"Customer {number}"), version, actor=None, now=now)
    choose(organization, version, actor=None, now=now)
    for page in ("plans/", "plans/plan-1/", "plans/new/", f"organizations/{organization.public_id}/plan/"):
        with CaptureQueriesContext(connection) as asked:
            assert staff_browser.get(f"/staff/{page}").status_code == 200
        assert len(asked) <= 15, (page, len(asked))


def test_customers_find_none_of_it(browse: Any, owner: User, organization: Organization) -> None:
    make_plan()
    for page in ("plans/", "plans/pro/", f"organizations/{organization.public_id}/plan/"):
        assert browse(owner).get(f"/staff/{page}").status_code in (302, 403, 404)
