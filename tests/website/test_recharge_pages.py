"""Auto-recharge in the console: turning it on and off, how it stands, why it stopped, and starting it again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import Organization, User
from accounts.models.audit import AuditEntry
from billing.models import AutoRecharge, Balance, TopUp
from billing.payments import recharging
from tests.cast import DOLLAR, give_credit
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import save_card

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
Browse = Callable[[User], Client]
FORM = {"threshold": "10", "amount": "25", "cap": "100"}


@pytest.fixture
def address(organization: Organization) -> str:
    give_credit(organization, DOLLAR)
    return f"/o/{organization.public_id}/billing/"


def test_it_is_turned_on_and_off_again(
    browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
) -> None:
    browser = browse(owner)
    assert "Save a card first" in browser.post(f"{address}recharge/", FORM).content.decode()
    save_card(shop, organization)
    page = browser.post(f"{address}recharge/", FORM, follow=True).content.decode()
    assert "Auto-recharge is on." in page
    own = AutoRecharge.objects.get()
    assert (own.threshold_nanos, own.amount_nanos, own.monthly_cap_nanos) == (10 * DOLLAR, 25 * DOLLAR, 100 * DOLLAR)
    assert 'value="25' in page
    assert "Below $10" in browser.get(address).content.decode()
    assert "is off" in browser.post(f"{address}recharge/off/", follow=True).content.decode()
    assert recharging.recharge(organization.pk, now=datetime.now(UTC)) is None
    assert list(AuditEntry.objects.filter(action__startswith="recharge.").values_list("actor", flat=True)) == [
        owner.pk,
        owner.pk,
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"amount": "4"}, "from $5 to $5,000"),
        ({"amount": "10.001"}, "whole cents"),
        ({"cap": "24"}, "month&#x27;s limit is less"),
        ({"threshold": "-1"}, ""),
        ({"threshold": "NaN"}, ""),
    ],
)
def test_what_makes_no_sense_is_said(
    browse: Browse,
    owner: User,
    organization: Organization,
    shop: Shop,
    address: str,
    typed: dict[str, str],
    words: str,
) -> None:
    save_card(shop, organization)
    answer = browse(owner).post(f"{address}recharge/", FORM | typed)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not AutoRecharge.objects.exists()


def test_why_it_stopped_is_shown_and_it_is_started_again(
    browse: Browse, owner: User, viewer: User, organization: Organization, shop: Shop, address: str
) -> None:
    save_card(shop, organization, "pm_card_chargeCustomerFail")
    browser = browse(owner)
    browser.post(f"{address}recharge/", FORM)
    recharging.recharge(organization.pk, now=datetime.now(UTC))
    page = browser.get(f"{address}recharge/").content.decode()
    assert "The last attempt failed." in page and "Try now" in page
    for hours in (2, 10):
        recharging.recharge(organization.pk, now=datetime.now(UTC) + timedelta(hours=hours))
    for page in (browser.get(f"{address}recharge/"), browser.get(address), browse(viewer).get(address)):
        assert "said no 3 times, at last: The card was declined." in page.content.decode()
    page = browser.post(f"{address}recharge/start/", follow=True).content.decode()
    assert "stopped" not in page
    assert TopUp.objects.count() == 3


def test_the_mails_link_leads_to_the_bank_and_the_money_comes_once(
    browse: Browse, owner: User, viewer: User, organization: Organization, shop: Shop, address: str
) -> None:
    save_card(shop, organization, "pm_card_authenticationRequired")
    browser = browse(owner)
    browser.post(f"{address}recharge/", FORM)
    top_up = recharging.recharge(organization.pk, now=datetime.now(UTC))
    assert top_up
    here = f"{address}top-ups/{top_up.public_id}/"
    assert "Confirm the payment" in browser.get(here).content.decode()
    assert "Confirm the payment" not in browse(viewer).get(here).content.decode()
    assert browse(viewer).post(f"{here}confirm/").status_code == 403
    page = browser.post(f"{here}confirm/", follow=True).content.decode()
    assert "Go to your bank" in page
    visit(TopUp.objects.get().pay_url, outcome="complete")
    TopUp.objects.update(looked_at=None)
    for _ in range(2):
        assert "<strong>Paid.</strong>" in browser.get(here).content.decode()
        assert browser.post(f"{here}confirm/").status_code == 302
    assert Balance.objects.get(organization=organization).nanos == 26 * DOLLAR


def test_a_payment_that_waits_is_confirmed_with_another_card_where_its_own_was_removed(
    browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
) -> None:
    gone = save_card(shop, organization, "pm_card_authenticationRequired")
    browser = browse(owner)
    browser.post(f"{address}recharge/", FORM)
    top_up = recharging.recharge(organization.pk, now=datetime.now(UTC))
    assert top_up
    here = f"{address}top-ups/{top_up.public_id}/"
    browser.post(f"{address}cards/{gone.public_id}/remove/")
    assert "There is no saved card any more" in browser.post(f"{here}confirm/", follow=True).content.decode()
    save_card(shop, organization)
    browser.post(f"{here}confirm/")
    assert "<strong>Paid.</strong>" in browser.get(here).content.decode()
    assert Balance.objects.get(organization=organization).nanos == 26 * DOLLAR


def test_others_do_not_see_or_change_it(
    browse: Browse, viewer: User, organization: Organization, shop: Shop, address: str
) -> None:
    browser = browse(viewer)
    assert browser.get(f"{address}recharge/").status_code == 403
    for path in ("recharge/", "recharge/off/", "recharge/start/"):
        assert browser.post(f"{address}{path}", FORM).status_code == 403
    assert "recharge/" not in browser.get(address).content.decode()
