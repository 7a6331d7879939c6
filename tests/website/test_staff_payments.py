"""Staff's payments: found by any id, what has become of each, refunds with what they leave behind."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts import organizations
from accounts.models import Organization, User
from billing.adjustments import adjust_balance
from billing.models import Balance, PaymentDifference, Refund, TopUp
from billing.payments import differences
from tests.cast import DOLLAR, give_credit, make_dispute, make_organization, make_refund, make_top_up
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin, pay
from tests.website.test_top_up_pages import Browse

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
LIST = "/staff/payments/"


def text(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def paid(organization: Organization, shop: Shop, staff_browser: Client) -> TopUp:
    """Of $25, credited because staff looked."""
    top_up = begin(organization)
    pay(top_up)
    staff_browser.post(f"{LIST}{top_up.public_id}/look/")
    top_up.refresh_from_db()
    assert top_up.state == TopUp.State.PAID
    return top_up


def form(amount: str, **fields: str) -> dict[str, str]:
    return {"request_id": str(uuid4()), "amount": amount, "reason": "They asked", **fields}


class TestLooking:
    def test_by_any_id_or_organization(self, staff_browser: Client, organization: Organization) -> None:
        mine, other = make_top_up(organization), make_top_up(make_organization("Elsewhere"))
        refund, dispute = make_refund(mine), make_dispute(mine)
        ids = [mine.public_id, mine.payment_intent, mine.checkout_session, refund.stripe_id, refund.public_id]
        for query in [*ids, dispute.stripe_id, organization.public_id, "acme"]:
            page = text(staff_browser.get(LIST, {"q": query}))
            assert mine.public_id in page, query
            assert other.public_id not in page, query
        assert "No payment fits" in text(staff_browser.get(LIST, {"q": "pi_nothing"}))

    @pytest.mark.parametrize(
        ("state", "which"), [("paid", "plain"), ("refunded", "refunded"), ("disputed", "disputed"), ("trouble", "odd")]
    )
    def test_by_state(self, staff_browser: Client, organization: Organization, state: str, which: str) -> None:
        names = ("plain", "refunded", "disputed", "odd")
        rows = {name: make_top_up(organization, paid=name != "odd") for name in names}
        make_refund(rows["refunded"])
        make_dispute(rows["disputed"])
        TopUp.objects.filter(pk=rows["odd"].pk).update(trouble="At Stripe, amount is 1, not 2")
        page = text(staff_browser.get(LIST, {"state": state}))
        assert rows[which].public_id in page
        others = set(names) - {which} if state != "paid" else {"odd"}
        assert [name for name in others if rows[name].public_id in page] == []

    def test_it_is_paged(
        self, staff_browser: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("website.views.staff.payments.PAGE", 1)
        first, second = make_top_up(organization), make_top_up(organization)
        page = text(staff_browser.get(LIST))
        assert second.public_id in page and first.public_id not in page
        assert f"after={second.pk}" in page
        assert first.public_id in text(staff_browser.get(LIST, {"after": second.pk}))

    def test_open_disputes_are_first(self, staff_browser: Client, organization: Organization) -> None:
        make_dispute(make_top_up(organization), status="needs_response", reinstated=False)
        assert "Open disputes" in text(staff_browser.get(LIST))
        assert "Suspended by dispute du_" in text(staff_browser.get(f"/staff/organizations/{organization.public_id}/"))

    def test_the_link_leads_to_stripe(self, staff_browser: Client, organization: Organization, settings: Any) -> None:
        top_up = make_top_up(organization)
        settings.STRIPE_API_BASE = "https://api.stripe.com"
        page = text(staff_browser.get(f"{LIST}{top_up.public_id}/"))
        assert f"https://dashboard.stripe.com/test/payments/{top_up.payment_intent}" in page

    def test_while_stripe_is_away_it_is_said(self, staff_browser: Client, paid: TopUp, settings: Any) -> None:
        make_refund(paid)
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        answer = staff_browser.post(f"{LIST}{paid.public_id}/look/", follow=True)
        assert "Try again in a moment" in text(answer)


class TestDifferences:
    def test_one_is_repaired_with_a_click(self, staff_browser: Client, paid: TopUp, shop: Shop) -> None:
        shop.stripe.v1.refunds.create({"payment_intent": str(paid.payment_intent), "amount": 700})
        differences.find(datetime.now(UTC).date(), lambda: datetime.now(UTC))
        row = PaymentDifference.objects.get()
        address = f"{LIST}differences/{row.pk}/repair/"
        page = text(staff_browser.get(LIST))
        assert "700 usd are refunded" in page
        assert address in page
        assert "Both sides agree now" in text(staff_browser.post(address, follow=True))
        assert Balance.objects.get(organization=paid.organization).nanos == 18 * DOLLAR
        assert staff_browser.post(address).status_code == 404

    def test_what_cannot_be_mended_or_asked_stays(
        self, staff_browser: Client, paid: TopUp, shop: Shop, settings: Any
    ) -> None:
        shop.pay(metadata={"top_up": "top_nothing"})
        differences.find(datetime.now(UTC).date(), lambda: datetime.now(UTC))
        address = f"{LIST}differences/{PaymentDifference.objects.get().pk}/repair/"
        assert "It still differs" in text(staff_browser.post(address, follow=True))
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        assert "Try again in a moment" in text(staff_browser.post(address, follow=True))
        assert PaymentDifference.objects.filter(closed_at=None).exists()


class TestRefunding:
    def test_what_is_unspent_is_proposed_and_refunded_once(
        self, staff_browser: Client, staff: User, paid: TopUp, shop: Shop
    ) -> None:
        address = f"{LIST}{paid.public_id}/refund/"
        page = text(staff_browser.get(address))
        assert 'value="25.00"' in page
        sent = form("10")
        for _ in range(2):
            assert "Refunded. The balance has so much less." in text(staff_browser.post(address, sent, follow=True))
        made = Refund.objects.get()
        assert (made.actor, made.reason, made.nanos) == (staff, "They asked", 10 * DOLLAR)
        assert len(shop.stripe.v1.refunds.list().data) == 1
        assert 'value="15.00"' in text(staff_browser.get(address))

    def test_more_than_is_unspent_is_said_before_and_wants_a_yes(
        self, staff_browser: Client, staff: User, paid: TopUp
    ) -> None:
        adjust_balance(
            paid.organization, -20 * DOLLAR, reason="Spent", actor=staff, now=datetime.now(UTC), operation_id="x"
        )
        give_credit(paid.organization, DOLLAR)
        address = f"{LIST}{paid.public_id}/refund/"
        assert "$20.00 of it are spent" in text(staff_browser.get(address))
        assert "$5.00 are unspent" in text(staff_browser.post(address, form("8")))
        assert not Refund.objects.exists()
        staff_browser.post(address, form("8", may_owe="on"))
        assert Balance.objects.get(organization=paid.organization).nanos == -2 * DOLLAR

    @pytest.mark.parametrize(
        ("amount", "words"), [("0", "Zero"), ("", "required"), ("0.001", "cents"), ("26", "$25.00")]
    )
    def test_an_odd_amount_is_refused(self, staff_browser: Client, paid: TopUp, amount: str, words: str) -> None:
        answer = staff_browser.post(f"{LIST}{paid.public_id}/refund/", form(amount))
        assert answer.status_code == 200
        assert words in text(answer)

    def test_a_refusal_and_an_unknown_outcome_are_told(self, staff_browser: Client, paid: TopUp, shop: Shop) -> None:
        address = f"{LIST}{paid.public_id}/refund/"
        shop.control("faults", {"fault": "error_before", "route": "POST /v1/refunds"})
        assert "answer isn&#x27;t known" in text(staff_browser.post(address, form("1"), follow=True))
        shop.stripe.v1.refunds.create({"payment_intent": str(paid.payment_intent)})
        assert "refunded before" in text(staff_browser.post(address, form("1"), follow=True))

    def test_what_was_not_paid_offers_none(self, staff_browser: Client, organization: Organization) -> None:
        top_up = make_top_up(organization, paid=False)
        assert "/refund/" not in text(staff_browser.get(f"{LIST}{top_up.public_id}/"))
        assert "Only what was paid" in text(staff_browser.post(f"{LIST}{top_up.public_id}/refund/", form("1")))


def test_staff_who_have_not_passed_the_second_factor_move_nothing(
    browse: Browse, staff: User, organization: Organization
) -> None:
    paid, waiting = make_top_up(organization), make_top_up(organization, paid=False)
    browser = browse(staff)
    for path in (f"{paid.public_id}/refund/", f"{waiting.public_id}/look/", "differences/1/repair/"):
        answer = browser.post(f"{LIST}{path}", form("5"))
        assert answer.status_code == 302 and "/account/2fa/" in answer["Location"], path
    assert not Refund.objects.exists()


class TestWhatMembersSee:
    def test_refunds_in_history_and_on_the_receipt(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        top_up = make_top_up(organization)
        refund = make_refund(top_up, 5)
        make_refund(top_up, 7, failed=True)
        browser, address = browse(owner), f"/o/{organization.public_id}/billing/top-ups/"
        for page in (address, f"{address}{top_up.public_id}/", f"{address}{top_up.public_id}/receipt/"):
            assert "$5.00" in text(browser.get(page)), page
            # One that failed is named where the payment is, as what didn't arrive.
            failed = "A refund of $7.00" if page.endswith(f"{top_up.public_id}/") else ""
            assert ("$7.00" in text(browser.get(page))) is bool(failed), page
            assert failed in text(browser.get(page)), page
        assert refund.public_id in text(browser.get(f"{address}{top_up.public_id}/receipt/"))

    @pytest.mark.parametrize(
        ("status", "reinstated", "words"),
        [
            ("needs_response", False, "A bank disputes it"),
            ("lost", False, "The bank took it back"),
            ("won", True, "decided that it counts"),
        ],
    )
    def test_a_dispute_on_its_page(
        self, browse: Browse, owner: User, organization: Organization, status: str, reinstated: bool, words: str
    ) -> None:
        top_up = make_top_up(organization)
        make_dispute(top_up, status=status, reinstated=reinstated)
        page = f"/o/{organization.public_id}/billing/top-ups/{top_up.public_id}/"
        assert words in text(browse(owner).get(page))
        organizations.hold(organization, "dispute dp_1", actor=None, reason="", now=top_up.created_at)
        assert "A bank disputes <a" in text(browse(owner).get(page))
        taken = "Taken back by a bank" in text(browse(owner).get(f"{page}receipt/"))
        assert taken is not reinstated
