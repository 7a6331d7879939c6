"""What routes cost us is entered beside prices; margins follow from it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry, User
from billing.models import RouteCost
from catalog.models import Model
from tests.website.browsing import use

pytestmark = pytest.mark.django_db


def typed(**fields: str) -> dict[str, str]:
    return {
        "amount_input_tokens": "1",
        "amount_output_tokens": "2",
        "amount_finer_0": "3",
        "meter_finer_0": "output_tokens",
        "tier_finer_0": "200000",
        "reason": "Contract of May",
        **fields,
    }


@pytest.fixture
def address(model: Model) -> str:
    return f"/staff/prices/routes/{model.routes.get().pk}/cost/"


def test_a_cost_is_entered_with_tiers_and_shown(staff_browser: Client, address: str, model: Model, staff: User) -> None:
    assert address in staff_browser.get(f"/staff/prices/{model.pk}/").content.decode()
    page = staff_browser.post(address, typed(), follow=True).content.decode()
    cost = RouteCost.objects.get()
    assert (cost.created_by, cost.reason, cost.prices.count()) == (staff, "Contract of May", 3)
    for words in ("Contract of May", "in force", "from 200,000", 'value="2.00"'):
        assert words in page
    assert AuditEntry.objects.get(action="cost.set").actor == staff


def test_it_may_start_in_the_past_or_later(staff_browser: Client, address: str) -> None:
    for at in ("2026-01-01T00:00", "2099-01-01T00:00"):
        staff_browser.post(address, typed(effective_from=at))
    assert {cost.effective_from.year for cost in RouteCost.objects.all()} == {2026, 2099}
    assert "coming" in staff_browser.get(address).content.decode()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"amount_input_tokens": "-1"}, "negative"),
        ({"reason": ""}, "required"),
        ({"effective_from": "x"}, "valid"),
    ],
)
def test_what_is_wrong_is_said(staff_browser: Client, address: str, fields: dict[str, str], complaint: str) -> None:
    assert complaint in staff_browser.post(address, typed(**fields)).content.decode()
    assert not RouteCost.objects.exists()


def test_margins_by_model_organization_and_route(
    staff_browser: Client, address: str, model: Model, key: ApiKey
) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    staff_browser.post(address, typed(effective_from=yesterday))
    use(key, model, 2, route=str(model.routes.get().pk))
    # 1,000 in and 100 out, twice: $0.009 earned, $0.0024 paid.
    for group, name in (("model", model.public_id), ("organization", "Acme"), ("route", f"{model.public_id} → test")):
        page = staff_browser.get(f"/staff/margins/?by={group}").content.decode()
        for words in (name, "$0.009000000", "$0.002400000", "$0.006600000", "73 %"):
            assert words in page, (group, words)


def test_without_costs_nothing_is_made_up(staff_browser: Client, model: Model, key: ApiKey) -> None:
    assert "No usage in these days" in staff_browser.get("/staff/margins/").content.decode()
    use(key, model)
    page = staff_browser.get("/staff/margins/?by=nonsense&days=0").content.decode()
    assert "$0.004500000" in page
    assert " %" not in page.split("<tbody>")[1]
