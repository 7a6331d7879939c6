"""The plan's fee by saved card, on the billing page: allowed, taken back, and paid at once after a failure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import Subscription, TopUp
from billing.plans import choosing
from billing.plans.renewing import renew_due
from tests.cast import DOLLAR, give_credit, make_plan
from tests.devstack.stripeserver.shop import Shop
from tests.paying import save_card

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
Browse = Callable[[User], Client]


@pytest.fixture
def address(organization: Organization) -> str:
    """Whose plan is over since some days, and whose balance is empty."""
    began = (datetime.now(UTC) - timedelta(days=32)).replace(day=1)
    give_credit(organization, 20 * DOLLAR, now=began)
    choosing.choose(organization, make_plan(included_credit_nanos=0), actor=None, now=began)
    return f"/o/{organization.public_id}/billing/"


def test_it_is_allowed_and_taken_back(
    browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
) -> None:
    browser = browse(owner)
    assert "Save a card first" in browser.post(f"{address}plan/by-card/", follow=True).content.decode()
    save_card(shop, organization)
    page = browser.post(f"{address}plan/by-card/", follow=True).content.decode()
    assert "the default card (Visa •••• 4242) pays it" in page
    assert Subscription.objects.get().by_card
    page = browser.post(f"{address}plan/not-by-card/", follow=True).content.decode()
    assert "Let the card pay the fee" in page
    assert not Subscription.objects.get().by_card


def test_after_a_failure_it_is_paid_at_once(
    browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
) -> None:
    renew_due(datetime.now(UTC))
    save_card(shop, organization)
    browser = browse(owner)
    assert "Pay now" in browser.get(address).content.decode()
    browser.post(f"{address}plan/by-card/")
    assert "The plan is paid." in browser.post(f"{address}plan/pay/", follow=True).content.decode()
    assert TopUp.objects.get(way="plan").state == TopUp.State.PAID
    assert "For the plan" in browser.get(f"{address}top-ups/").content.decode()


def test_others_may_not(browse: Browse, viewer: User, shop: Shop, address: str) -> None:
    for path in ("by-card", "not-by-card"):
        assert browse(viewer).post(f"{address}plan/{path}/").status_code == 403
