"""Staff see any request's receipt, and by what name its upstream knows it; its organization doesn't see that."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import ApiKey, Membership, Organization, Role, User
from billing.models import UsageEvent
from catalog.models import Model, Route
from tests.cast import make_organization
from tests.website.browsing import use

THEIRS = "req-theirs-1"
Browse = Callable[[User], Client]


@pytest.fixture
def event(key: ApiKey, model: Model) -> UsageEvent:
    route = model.routes.get()
    Route.objects.filter(pk=route.pk).update(upstream_model="lab/their-name")
    return use(key, model, upstream_request_id=THEIRS, route=str(route.pk))[0]


def test_staff_see_who_answered_and_its_id(
    staff_browser: Client, organization: Organization, event: UsageEvent, empty_valkey: Any
) -> None:
    address = f"/staff/organizations/{organization.public_id}/requests/{event.id}/"
    page = staff_browser.get(address).content.decode()
    for text in (THEIRS, "lab/their-name", "At the upstream", "Exact sum", event.api_key.public_id, "$0.004500000"):
        assert text in page
    assert f"/o/{organization.public_id}/" not in page
    # From the organization's page, and from any request's id.
    assert address in staff_browser.get(f"/staff/organizations/{organization.public_id}/").content.decode()
    assert address in staff_browser.get("/staff/explain/", {"id": str(event.id)}).content.decode()


def test_what_came_without_one_says_so(
    staff_browser: Client, organization: Organization, key: ApiKey, model: Model, empty_valkey: Any
) -> None:
    event = use(key, model)[0]
    page = staff_browser.get(f"/staff/organizations/{organization.public_id}/requests/{event.id}/").content.decode()
    assert "At the upstream" in page
    assert page.count("<dd>–</dd>") + page.count('<dd class="mono break">–</dd>') >= 3


@pytest.mark.parametrize("role", Role.values)
def test_its_members_don_t_see_it(
    browse: Browse, staff: User, organization: Organization, event: UsageEvent, role: str, empty_valkey: Any
) -> None:
    """Nor does who is staff, on the page that members have."""
    now = datetime.now(UTC)
    Membership.objects.create(user=staff, organization=organization, role=role, created_at=now)
    browser = browse(staff)
    for address in (f"requests/{event.id}/", "usage/", "usage/requests.csv", ""):
        answer = browser.get(f"/o/{organization.public_id}/{address}")
        assert answer.status_code == 200
        page = answer.getvalue().decode()
        assert THEIRS not in page
        assert "their-name" not in page
        assert "At the upstream" not in page


def test_what_is_another_organization_s_is_not_there(
    staff_browser: Client, organization: Organization, event: UsageEvent
) -> None:
    other = make_organization("Other")
    for org, request_id in ((other.public_id, event.id), (organization.public_id, uuid4()), ("org_none", event.id)):
        assert staff_browser.get(f"/staff/organizations/{org}/requests/{request_id}/").status_code == 404
