"""Topping up in the console: to Stripe's page and back, what it shows meanwhile, and who may."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Organization, Role, User
from billing.models import Balance, TopUp
from tests.cast import DOLLAR, make_organization, make_top_up
from tests.devstack.stripeserver.shop import Shop, card, visit
from tests.paying import begin, pay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
Browse = Callable[[User], Client]


@pytest.fixture
def address(organization: Organization) -> str:
    return f"/o/{organization.public_id}/billing/"


def balance(organization: Organization) -> int:
    return Balance.objects.get(organization=organization).nanos


class TestTheWay:
    def test_an_owner_pays_and_comes_back_to_what_became_of_it(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str, settings: Any
    ) -> None:
        browser = browse(owner)
        assert f'href="{address}top-ups/new/"' in browser.get(address).content.decode()
        page = browser.get(f"{address}top-ups/new/")
        assert settings.STRIPE_CHECKOUT_ORIGIN in page["Content-Security-Policy"].split("form-action")[1].split(";")[0]
        answer = browser.post(f"{address}top-ups/new/", {"amount": "25.50", "save_card": "on"})
        assert answer.status_code == 302
        back = visit(answer["Location"], **card()).address
        top_up = TopUp.objects.get()
        assert (top_up.amount, top_up.saves_card, top_up.actor) == (2550, True, owner)
        assert back == f"{settings.CONSOLE_URL}{address}top-ups/{top_up.public_id}/"
        TopUp.objects.update(looked_at=None)
        page = browser.get(f"{address}top-ups/{top_up.public_id}/").content.decode()
        assert "<strong>Paid.</strong>" in page
        assert balance(organization) == 25_500_000_000
        assert top_up.public_id in browser.get(address).content.decode()
        receipt = browser.get(f"{address}top-ups/{top_up.public_id}/receipt/").content.decode()
        for words in (top_up.public_id, "$25.50 USD", "Acme", "pi_"):
            assert words in receipt

    def test_who_comes_back_without_having_paid_can_go_on(
        self, browse: Browse, owner: User, viewer: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        top_up = begin(organization)
        here = f"{address}top-ups/{top_up.public_id}/"
        page = browse(owner).get(here).content.decode()
        assert "Not paid yet" in page
        assert f'href="{top_up.pay_url}"' in page
        assert "Go on to payment" not in browse(viewer).get(here).content.decode()

    def test_the_page_goes_on_by_itself(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        top_up = begin(organization)
        browser, here = browse(owner), f"{address}top-ups/{top_up.public_id}/?seen=open"
        assert browser.get(here, headers={"HX-Request": "true"}).status_code == 204
        pay(top_up)
        TopUp.objects.update(looked_at=datetime.now(UTC) - timedelta(seconds=4))
        assert browser.get(here, headers={"HX-Request": "true"})["HX-Refresh"] == "true"

    def test_stripe_is_not_asked_at_every_look(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        top_up = begin(organization)
        pay(top_up)
        TopUp.objects.update(looked_at=datetime.now(UTC))
        assert "Not paid yet" in browse(owner).get(f"{address}top-ups/{top_up.public_id}/").content.decode()

    def test_while_stripe_is_away_the_page_says_so(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str, settings: Any
    ) -> None:
        top_up = begin(organization)
        TopUp.objects.update(looked_at=None)
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        browser = browse(owner)
        page = browser.get(f"{address}top-ups/{top_up.public_id}/").content.decode()
        assert "Stripe can&#x27;t be reached" in page or "Stripe can't be reached" in page
        page = browser.post(f"{address}top-ups/new/", {"amount": "5"}).content.decode()
        assert "Nothing was charged" in page

    @pytest.mark.parametrize(
        ("state", "fields", "words"),
        [
            ("processing", {}, "The bank is working on it"),
            ("expired", {}, "The payment page has closed"),
            ("failed", {"why": "The payment didn't go through."}, "It didn't work"),
            ("open", {"trouble": "the amount is 1, not 2"}, "We are looking into it"),
        ],
    )
    def test_each_state_is_told(
        self,
        browse: Browse,
        owner: User,
        organization: Organization,
        address: str,
        state: str,
        fields: dict[str, str],
        words: str,
    ) -> None:
        top_up = make_top_up(organization, paid=False)
        TopUp.objects.update(state=state, **fields)
        browser = browse(owner)
        page = browser.get(f"{address}top-ups/{top_up.public_id}/").content.decode()
        assert words in page
        assert "not 2" not in page
        assert browser.get(f"{address}top-ups/").status_code == 200
        assert browser.get(f"{address}top-ups/{top_up.public_id}/receipt/").status_code == 404


def test_another_organizations_top_up_is_not_there(
    browse: Browse, owner: User, organization: Organization, outsider: User, address: str
) -> None:
    """Neither for its own members, at this organization's address."""
    other = make_organization("Other", owner=outsider)
    theirs = make_top_up(other)
    Membership.objects.create(user=owner, organization=other, role=Role.OWNER, created_at=theirs.created_at)
    browser = browse(owner)
    for path in ("", "receipt/"):
        there = f"/o/{other.public_id}/billing/top-ups/{theirs.public_id}/{path}"
        assert browser.get(there).status_code == 200
        assert browser.get(there.replace(other.public_id, organization.public_id)).status_code == 404
    assert browser.post(f"{address}top-ups/{theirs.public_id}/confirm/").status_code == 404
    for page in (address, f"{address}top-ups/"):
        assert theirs.public_id not in browser.get(page).content.decode()


class TestAmounts:
    @pytest.mark.parametrize(
        ("typed", "words"),
        [("", "required"), ("4.99", "from $5 to $5,000"), ("5000.01", "from $5 to $5,000"), ("10.001", "whole cents")],
    )
    def test_what_is_wrong_is_said(
        self, browse: Browse, owner: User, shop: Shop, address: str, typed: str, words: str
    ) -> None:
        answer = browse(owner).post(f"{address}top-ups/new/", {"amount": typed})
        assert answer.status_code == 200
        assert words in answer.content.decode()
        assert not TopUp.objects.exists()


class TestWho:
    def test_others_only_look(
        self, browse: Browse, viewer: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        browser = browse(viewer)
        assert "top-ups/new/" not in browser.get(address).content.decode()
        assert "Owners and admins can pay" in browser.get(f"{address}top-ups/").content.decode()
        for method in (browser.get, browser.post):
            assert method(f"{address}top-ups/new/", {"amount": "5"}).status_code == 403

    def test_without_stripe_nothing_is_offered(self, browse: Browse, owner: User, address: str, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        browser = browse(owner)
        assert "top-ups/new/" not in browser.get(address).content.decode()
        assert "staff add to balances" in browser.get(f"{address}top-ups/").content.decode()
        assert browser.get(f"{address}top-ups/new/").status_code == 404


def test_the_history_is_paged(
    browse: Browse, owner: User, organization: Organization, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("website.views.top_ups.SHOWN", 1)
    first, second = make_top_up(organization), make_top_up(organization, paid=False)
    browser = browse(owner)
    page = browser.get(f"{address}top-ups/").content.decode()
    assert second.public_id in page and first.public_id not in page
    page = browser.get(f"{address}top-ups/?after={second.pk}").content.decode()
    assert first.public_id in page and second.public_id not in page
    assert balance(organization) >= 25 * DOLLAR
