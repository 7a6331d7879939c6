"""Saved cards in the console: who may, adding, the default, removing, and paying a top-up with one."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import Balance, TopUp
from billing.payments import cards
from tests.cast import DOLLAR, make_organization
from tests.devstack.stripeserver.shop import Shop, card, visit
from tests.paying import save_card

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
Browse = Callable[[User], Client]


@pytest.fixture
def address(organization: Organization) -> str:
    return f"/o/{organization.public_id}/billing/"


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


class TestCards:
    def test_one_is_added_on_stripes_page_and_shown(
        self, browse: Browse, owner: User, shop: Shop, address: str, settings: Any
    ) -> None:
        browser = browse(owner)
        page = browser.get(f"{address}cards/")
        assert "No card is saved" in page.content.decode()
        allowed = page["Content-Security-Policy"].split("form-action")[1].split(";")[0]
        assert settings.STRIPE_CHECKOUT_ORIGIN in allowed and settings.STRIPE_PORTAL_ORIGIN in allowed
        answer = browser.post(f"{address}cards/add/")
        assert answer.status_code == 302
        assert visit(answer["Location"], **card()).address == f"{settings.CONSOLE_URL}{address}cards/"
        page = browser.get(f"{address}cards/")
        assert "Visa •••• 4242" in page.content.decode()
        assert "4242 4242" not in page.content.decode()

    def test_default_and_removal(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        first = save_card(shop, organization)
        save_card(shop, organization, "pm_card_mastercard")
        browser = browse(owner)
        page = browser.post(f"{address}cards/{first.public_id}/default/", follow=True)
        assert "Visa •••• 4242 pays where nobody chooses" in page.content.decode()
        assert cards.default_of(organization) == first
        here = f"{address}cards/{first.public_id}/remove/"
        assert "Remove Visa •••• 4242?" in browser.get(here).content.decode()
        assert "is removed" in browser.post(here, follow=True).content.decode()
        assert [str(one) for one in cards.of(organization)] == ["Mastercard •••• 4444"]
        assert browser.get(here).status_code == 404

    def test_stripes_portal_is_a_click_away(self, browse: Browse, owner: User, shop: Shop, address: str) -> None:
        answer = browse(owner).post(f"{address}cards/portal/")
        assert "Payment methods" in visit(answer["Location"]).text

    def test_while_stripe_is_away_pages_say_so(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str, settings: Any
    ) -> None:
        saved = save_card(shop, organization)
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        browser = browse(owner)
        for path in ("add/", "portal/", f"{saved.public_id}/default/"):
            page = browser.post(f"{address}cards/{path}", follow=True).content.decode()
            assert "Try again in a moment" in page
            assert "Visa •••• 4242" in page

    def test_others_neither_see_nor_change_them(
        self, browse: Browse, viewer: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        saved = save_card(shop, organization)
        browser = browse(viewer)
        assert f"{address}cards/" not in browser.get(address).content.decode()
        assert browser.get(f"{address}cards/").status_code == 403
        for path in ("add/", "portal/", f"{saved.public_id}/default/", f"{saved.public_id}/remove/"):
            assert browser.post(f"{address}cards/{path}").status_code == 403

    def test_anothers_card_is_not_there(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        theirs = save_card(shop, make_organization("Other"))
        save_card(shop, organization)
        browser = browse(owner)
        for path in ("default/", "remove/"):
            assert browser.post(f"{address}cards/{theirs.public_id}/{path}").status_code == 404
        form = {"amount": "5", "card": theirs.public_id, "asked": str(uuid4())}
        assert browser.post(f"{address}top-ups/new/", form).status_code == 200
        assert not TopUp.objects.exists()

    def test_without_stripe_there_are_none(self, browse: Browse, owner: User, address: str, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        assert browse(owner).get(f"{address}cards/").status_code == 404


class TestPayingWithOne:
    def test_the_balance_has_it_at_once_and_a_second_click_pays_nothing(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        saved = save_card(shop, organization)
        browser = browse(owner)
        page = browser.get(f"{address}top-ups/new/").content.decode()
        assert "Visa •••• 4242, until" in page
        form = {"amount": "25", "card": saved.public_id, "asked": page.split('name="asked" value="')[1].split('"')[0]}
        first = browser.post(f"{address}top-ups/new/", form)
        assert browser.post(f"{address}top-ups/new/", form)["Location"] == first["Location"]
        assert balance(organization) == 25 * DOLLAR
        page = browser.get(first["Location"]).content.decode()
        assert "<strong>Paid.</strong>" in page
        assert "Visa •••• 4242" in browser.get(f"{first['Location']}receipt/").content.decode()
        assert "With a saved card" in browser.get(f"{address}top-ups/").content.decode()

    def test_a_form_that_cannot_be_told_from_another_pays_nothing(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        saved = save_card(shop, organization)
        page = browse(owner).post(f"{address}top-ups/new/", {"amount": "25", "card": saved.public_id})
        assert "Load the page again" in page.content.decode()
        assert not TopUp.objects.exists()

    def test_another_card_is_typed_at_stripe(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        save_card(shop, organization)
        answer = browse(owner).post(f"{address}top-ups/new/", {"amount": "25", "card": "", "asked": str(uuid4())})
        assert "/c/pay/" in answer["Location"]

    def test_the_bank_asks_and_the_customer_confirms(
        self, browse: Browse, owner: User, viewer: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        saved = save_card(shop, organization, "pm_card_authenticationRequired")
        browser = browse(owner)
        form = {"amount": "25", "card": saved.public_id, "asked": str(uuid4())}
        here = browser.post(f"{address}top-ups/new/", form)["Location"]
        page = browser.get(here).content.decode()
        assert "Go to your bank" in page
        assert "Go to your bank" not in browse(viewer).get(here).content.decode()
        visit(TopUp.objects.get().pay_url, outcome="complete")
        TopUp.objects.update(looked_at=None)
        assert "<strong>Paid.</strong>" in browser.get(here).content.decode()
        assert balance(organization) == 25 * DOLLAR

    def test_a_declined_card_is_told(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        saved = save_card(shop, organization, "pm_card_chargeCustomerFail")
        form = {"amount": "25", "card": saved.public_id, "asked": str(uuid4())}
        page = browse(owner).post(f"{address}top-ups/new/", form, follow=True).content.decode()
        assert "The card was declined." in page
        assert balance(organization) == 0
