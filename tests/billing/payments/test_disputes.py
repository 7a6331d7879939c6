"""Disputes: what the bank takes and gives back is posted once, in whatever order events come; suspended while open."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts import organizations
from accounts.models import Alarm, Organization
from billing.models import Dispute, LedgerTransaction, NoticeMail, TopUp
from billing.notices import mailing
from billing.payments import disputes, healing, refunding, settling
from tests.billing.payments.refunded import ask, books, pay_and_settle, refund, spend
from tests.cast import DOLLAR, make_dispute, make_user
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin, event, pay, post

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")


def now() -> datetime:
    return datetime.now(UTC)


def open_dispute(shop: Shop, top_up: TopUp) -> str:
    intent = shop.stripe.v1.payment_intents.retrieve(str(top_up.payment_intent))
    return str(shop.control("disputes", {"charge": intent.latest_charge})["id"])


def decide(shop: Shop, dispute: str, status: str) -> None:
    shop.control("disputes", {"dispute": dispute, "status": status})


def hear(dispute: str, *kinds: str) -> None:
    for number, kind in enumerate(kinds or ("updated",)):
        sent = event(f"charge.dispute.{kind}", dispute, id=f"evt_{kind}_{number}_{now().timestamp()}")
        assert post(sent).status_code == 200


def heal(hours: int = 0) -> None:
    healing.heal(lambda: now() + timedelta(hours=hours))


def suspended(organization: Organization) -> bool:
    organization.refresh_from_db()
    return organization.suspended_at is not None


class TestMoney:
    def test_an_open_dispute_takes_the_credit_and_suspends(self, paid: TopUp, shop: Shop) -> None:
        hear(open_dispute(shop, paid), "created")
        assert suspended(paid.organization)
        assert Alarm.objects.get().kind == "payment_disputed"
        books(paid.organization, 0)

    def test_what_was_spent_is_a_debt(self, paid: TopUp, shop: Shop) -> None:
        spend(paid.organization, 20 * DOLLAR)
        hear(open_dispute(shop, paid), "created")
        books(paid.organization, -20 * DOLLAR)

    @pytest.mark.parametrize(("status", "dollars"), [("won", 25), ("lost", 0)])
    def test_won_gives_back_and_lost_stays(self, paid: TopUp, shop: Shop, status: str, dollars: int) -> None:
        dispute = open_dispute(shop, paid)
        hear(dispute, "created", "funds_withdrawn")
        decide(shop, dispute, status)
        hear(dispute, "closed", "funds_reinstated")
        assert not suspended(paid.organization)
        books(paid.organization, dollars * DOLLAR)
        assert Dispute.objects.get().closed_at

    @pytest.mark.parametrize("status", ["won", "lost"])
    def test_closed_may_be_the_first_that_is_heard(self, paid: TopUp, shop: Shop, status: str) -> None:
        dispute = open_dispute(shop, paid)
        decide(shop, dispute, status)
        hear(dispute, "closed", "created", "funds_withdrawn")
        assert not suspended(paid.organization)
        books(paid.organization, 25 * DOLLAR if status == "won" else 0)

    def test_in_any_order_each_movement_is_posted_once(self, paid: TopUp, shop: Shop) -> None:
        dispute = open_dispute(shop, paid)
        hear(dispute, *KINDS, *reversed(KINDS))
        decide(shop, dispute, "won")
        for order in itertools.islice(itertools.permutations(KINDS), 0, 120, 40):
            hear(dispute, *order)
        keys = [f"dispute:{dispute}", f"dispute-back:{dispute}"]
        posted = LedgerTransaction.objects.filter(kind="dispute").order_by("id")
        assert list(posted.values_list("operation_key", flat=True)) == keys
        books(paid.organization, 25 * DOLLAR)

    def test_what_was_refunded_before_is_not_taken_twice(self, paid: TopUp, shop: Shop) -> None:
        refund(paid, 10 * DOLLAR)
        hear(open_dispute(shop, paid))
        assert Dispute.objects.get().amount == 1500
        books(paid.organization, 0)

    def test_what_is_won_pays_the_debt_first(self, paid: TopUp, shop: Shop) -> None:
        dispute = open_dispute(shop, paid)
        hear(dispute)
        spend(paid.organization, 5 * DOLLAR)
        decide(shop, dispute, "won")
        hear(dispute)
        books(paid.organization, 20 * DOLLAR)

    def test_a_disputed_payment_is_not_refunded(self, paid: TopUp, shop: Shop) -> None:
        hear(open_dispute(shop, paid))
        with pytest.raises(refunding.RefundError, match="A bank disputes"):
            ask(paid, DOLLAR, may_owe=True)

    def test_an_inquiry_takes_nothing_and_suspends_nobody(self, organization: Organization, told: Shop) -> None:
        top_up = begin(organization)
        pay(top_up, "4000000000001976")
        told.quiet()
        settling.look(top_up, now=now())
        heal()
        assert Dispute.objects.get().status == "warning_needs_response"
        assert not suspended(organization)
        assert Alarm.objects.get().kind == "payment_disputed"
        books(organization, 25 * DOLLAR)

    def test_a_card_that_is_disputed_at_once(self, organization: Organization, told: Shop) -> None:
        pay(begin(organization), "4000000000000259")
        told.quiet()
        assert suspended(organization)
        books(organization, 0)

    def test_healing_hears_what_no_webhook_told(self, paid: TopUp, shop: Shop) -> None:
        heal()
        dispute = open_dispute(shop, paid)
        heal()
        assert suspended(paid.organization)
        books(paid.organization, 0)
        decide(shop, dispute, "won")
        heal(hours=1)
        assert not suspended(paid.organization)
        books(paid.organization, 25 * DOLLAR)


@pytest.mark.parametrize(
    ("status", "withdrawn", "reinstated", "again"),
    [
        ("lost", False, False, True),
        ("lost", True, False, False),
        ("won", True, False, True),
        ("won", True, True, False),
        ("won", False, False, False),
        ("warning_closed", False, False, False),
        ("needs_response", True, False, True),
    ],
)
def test_it_is_looked_at_again_until_its_money_is_where_it_belongs(
    paid: TopUp, status: str, withdrawn: bool, reinstated: bool, again: bool
) -> None:
    made = make_dispute(paid, status=status, withdrawn=withdrawn, reinstated=reinstated)
    assert (made.look_at is not None) == again


class TestSuspension:
    def test_it_stays_while_another_reason_holds(self, paid: TopUp, shop: Shop) -> None:
        organization = paid.organization
        other = pay_and_settle(organization)
        first, second = open_dispute(shop, paid), open_dispute(shop, other)
        hear(first)
        hear(second)
        decide(shop, first, "won")
        hear(first)
        assert suspended(organization)
        organizations.suspend(organization, actor=make_user("staff@example.com"), reason="Fraud", now=now())
        decide(shop, second, "won")
        hear(second)
        assert suspended(organization)
        assert organization.suspended_for == [organizations.STAFF]

    def test_staff_who_reinstate_it_meanwhile_have_the_last_word(self, paid: TopUp, shop: Shop) -> None:
        dispute = open_dispute(shop, paid)
        hear(dispute)
        staff = make_user("staff@example.com")
        organizations.reinstate(paid.organization, actor=staff, reason="Known", now=now())
        hear(dispute)
        assert not suspended(paid.organization)
        organizations.suspend(paid.organization, actor=staff, reason="Fraud", now=now())
        decide(shop, dispute, "lost")
        hear(dispute)
        assert suspended(paid.organization)


@pytest.mark.parametrize(("status", "words"), [("won", "counts again"), ("lost", "is gone")])
def test_members_are_told_of_each_turn_once(paid: TopUp, shop: Shop, status: str, words: str) -> None:
    dispute = open_dispute(shop, paid)
    hear(dispute, *KINDS)
    decide(shop, dispute, status)
    hear(dispute, *KINDS)
    mails = NoticeMail.objects.filter(notice__kind="dispute").order_by("id")
    for waiting in mails:
        assert mailing.send(waiting.pk, now())
    subjects = [sent.subject for sent in mail.outbox if "disputed" in sent.subject]
    assert len(subjects) == 2
    assert "keys are refused" in subjects[0]
    assert words in subjects[1]


def test_a_dispute_of_nothing_of_ours_is_ignored(organization: Organization, shop: Shop) -> None:
    foreign = shop.pay()
    dispute = str(shop.control("disputes", {"charge": foreign.latest_charge})["id"])
    assert disputes.hear(dispute, now=now()) == "ignored: not ours"
    assert disputes.hear("du_nothing", now=now()) == "ignored: not there"
