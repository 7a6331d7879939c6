"""Plans by saved card: the first period is paid; later fees are allowed, taken back, and paid after a failure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

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
    for path in ("plan/by-card", "plan/not-by-card", "plans/pro/by-card"):
        assert browse(viewer).post(f"{address}{path}/").status_code == 403


class TestTheFirstPeriod:
    @pytest.fixture
    def page(self, organization: Organization, shop: Shop) -> str:
        make_plan("pro", fee_nanos=20 * DOLLAR, included_credit_nanos=0)
        return f"/o/{organization.public_id}/billing/plans/pro/"

    def test_a_card_pays_it_where_the_balance_does_not(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, page: str
    ) -> None:
        browser = browse(owner)
        assert "Save a card" in browser.get(page).content.decode()
        save_card(shop, organization)
        shown = browser.get(page)
        assert "Pay $20.00 with Visa •••• 4242" in shown.content.decode()
        sent = shown.context["by_card"].initial
        for _ in range(2):
            answer = browser.post(f"{page}by-card/", sent, follow=True).content.decode()
            assert "It paid the first period of Pro" in answer
        assert TopUp.objects.get().state == TopUp.State.PAID
        assert "Pay with a card" not in browser.get(page).content.decode()

    def test_a_no_leads_back_to_the_plans(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, page: str
    ) -> None:
        save_card(shop, organization, "pm_card_chargeCustomerFail")
        browser = browse(owner)
        sent = browser.get(page).context["by_card"].initial
        answer = browser.post(f"{page}by-card/", sent, follow=True).content.decode()
        assert "Choose the plan again" in answer and "declined" in answer
        assert not Subscription.objects.exists()

    def test_without_a_card_or_of_another_form_nothing_is_charged(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, page: str
    ) -> None:
        browser = browse(owner)
        assert "Save a card first" in browser.post(f"{page}by-card/", follow=True).content.decode()
        save_card(shop, organization)
        assert browser.post(f"{page}by-card/", {"asked": "x", "shown": "1e9"}).status_code == 200
        sent = browser.get(page).context["by_card"].initial
        cheaper = browser.post(f"{page}by-card/", {**sent, "shown": 1}).content.decode()
        assert "It costs more than what was shown" in cheaper
        assert not TopUp.objects.exists()

    def test_it_is_not_offered_where_the_balance_covers_it(
        self, browse: Browse, owner: User, organization: Organization, page: str
    ) -> None:
        give_credit(organization, 20 * DOLLAR)
        assert "Pay with a card" not in browse(owner).get(page).content.decode()

    def test_without_stripe_there_is_none(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, page: str, settings: Any
    ) -> None:
        save_card(shop, organization)
        settings.STRIPE_SECRET_KEY = ""
        browser = browse(owner)
        assert "Pay with a card" not in browser.get(page).content.decode()
        assert browser.post(f"{page}by-card/").status_code == 404

    def test_a_plan_that_is_not_offered_is_not_found(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop
    ) -> None:
        make_plan("ours", public=False)
        save_card(shop, organization)
        assert browse(owner).post(f"/o/{organization.public_id}/billing/plans/ours/by-card/").status_code == 404
