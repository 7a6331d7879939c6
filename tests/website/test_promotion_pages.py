"""Codes in the console and on staff's pages."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import Balance, PromotionCode, TopUp
from billing.promotions import redeeming
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop, card, visit
from tests.website.test_top_up_pages import Browse
from website.redeeming import MOST_WRONG

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
CODES = "/staff/promotions/"


def text(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def code(staff: User) -> PromotionCode:
    return make(staff)


def make(staff: User, name: str = "WELCOME", **fields: Any) -> PromotionCode:
    now = datetime.now(UTC)
    return PromotionCode.objects.create(code=name, nanos=10 * DOLLAR, created_at=now, created_by=staff, **fields)


@pytest.fixture
def address(organization: Organization) -> str:
    return f"/o/{organization.public_id}/billing/"


class TestMembers:
    def test_a_code_is_redeemed_once(
        self, browse: Browse, owner: User, organization: Organization, code: PromotionCode, address: str
    ) -> None:
        browser = browse(owner)
        assert f"{address}redeem/" in text(browser.get(address))
        assert "$10.00 were added" in text(browser.post(f"{address}redeem/", {"code": "welcome"}, follow=True))
        assert "redeemed this code already" in text(browser.post(f"{address}redeem/", {"code": "welcome"}))
        assert Balance.objects.get(organization=organization).nanos == 10 * DOLLAR

    def test_few_wrong_ones_in_an_hour(
        self, browse: Browse, owner: User, organization: Organization, code: PromotionCode, address: str
    ) -> None:
        browser = browse(owner)
        for _ in range(MOST_WRONG):
            assert "can&#x27;t be used. It may" in text(browser.post(f"{address}redeem/", {"code": "guess"}))
        assert "Try again in an hour" in text(browser.post(f"{address}redeem/", {"code": "welcome"}))
        page = text(browser.post(f"{address}redeem/", {"code": "WELCOME"}))
        assert "Try again in an hour" in page
        assert not code.redemptions.exists()

    def test_viewers_may_not(self, browse: Browse, viewer: User, address: str) -> None:
        assert browse(viewer).post(f"{address}redeem/", {"code": "x"}).status_code == 403

    def test_one_for_a_first_top_up_comes_when_it_is_paid(
        self, browse: Browse, owner: User, organization: Organization, staff: User, shop: Shop, address: str
    ) -> None:
        make(staff, "FIRST", first_top_up_only=True)
        browser = browse(owner)
        assert redeeming.WITH_TOP_UP in text(browser.post(f"{address}redeem/", {"code": "first"}))
        wrong = browser.post(f"{address}top-ups/new/", {"amount": "25", "code": "nothing"})
        assert "can&#x27;t be used. It may" in text(wrong)
        assert not TopUp.objects.exists()
        answer = browser.post(f"{address}top-ups/new/", {"amount": "25", "code": "first"})
        # Before anything is paid both pages say what it brings.
        here = f"{address}top-ups/{TopUp.objects.get().public_id}/"
        assert "With promotion code FIRST: $10 more." in visit(answer["Location"]).text
        assert 'code <span class="mono">FIRST</span> adds $10.00 more once it is paid' in text(browser.get(here))
        visit(answer["Location"], **card())
        TopUp.objects.update(looked_at=None)
        assert '$10.00 more came with promotion code <span class="mono">FIRST</span>' in text(browser.get(here))
        assert Balance.objects.get(organization=organization).nanos == 35 * DOLLAR

    def test_one_that_was_stopped_before_the_payment_is_not_said_to_have_come(
        self, browse: Browse, owner: User, code: PromotionCode, shop: Shop, address: str
    ) -> None:
        browser = browse(owner)
        answer = browser.post(f"{address}top-ups/new/", {"amount": "25", "code": "welcome"})
        PromotionCode.objects.update(stopped_at=datetime.now(UTC))
        visit(answer["Location"], **card())
        TopUp.objects.update(looked_at=None)
        page = text(browser.get(f"{address}top-ups/{TopUp.objects.get().public_id}/"))
        assert "redeemed any more" in page and "more came with" not in page


class TestStaff:
    def test_a_code_is_made_listed_and_stopped(self, staff_browser: Client, staff: User) -> None:
        sent = {
            "code": "spring-26",
            "amount": "12.50",
            "uses_most": "100",
            "last_day": "2099-01-31",
            "credit_days": "30",
            "note": "Meetup",
        }
        assert "SPRING-26 can be redeemed now" in text(staff_browser.post(f"{CODES}new/", sent, follow=True))
        made = PromotionCode.objects.get()
        assert (made.nanos, made.uses_most, made.credit_days) == (12_500_000_000, 100, 30)
        assert made.expires_at and made.expires_at.isoformat().startswith("2099-01-31T23:59:59")
        page = text(staff_browser.get(CODES, {"q": "spring"}))
        for words in ("SPRING-26", "Meetup", "Valid", "0 of 100"):
            assert words in page
        assert "Nothing found" in text(staff_browser.get(CODES, {"q": "autumn"}))
        assert "Stopped" in text(staff_browser.post(f"{CODES}{made.pk}/stop/", follow=True))

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"code": "x"}, "4 to 40"),
            ({"amount": "0"}, "Zero"),
            ({"last_day": "2001-01-01"}, "expired already"),
            ({"uses_most": "0"}, "greater than or equal to 1"),
        ],
    )
    def test_what_is_wrong_is_said(self, staff_browser: Client, fields: dict[str, str], words: str) -> None:
        answer = staff_browser.post(f"{CODES}new/", {"code": "spring", "amount": "5", **fields})
        assert words in text(answer)
        assert not PromotionCode.objects.exists()
