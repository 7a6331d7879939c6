"""Refunds made in Stripe's dashboard, and those that a bank sends back: each is posted once, whoever tells of it."""

import pytest
from django.core import mail

from accounts.models import Alarm, Organization
from billing.models import CreditGrant, NoticeMail, Refund, TopUp
from billing.notices import mailing
from billing.payments import refunding, refunds
from tests.billing.payments.refunded import (
    ask,
    at_stripe,
    books,
    heal,
    now,
    pay_and_settle,
    refund,
)
from tests.cast import DOLLAR, give_credit
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin, event, pay, post

pytestmark = pytest.mark.django_db(transaction=True)
REFUNDS = "POST /v1/refunds"
State = Refund.State


class TestMadeAtStripe:
    def test_a_webhook_tells_and_any_number_posts_it_once(self, paid: TopUp, shop: Shop) -> None:
        made = at_stripe(shop, paid, amount=700)
        for number, kind in enumerate(["refund.updated", "refund.created", "charge.refund.updated", "refund.created"]):
            assert post(event(kind, made.id, id=f"evt_{number}")).status_code == 200
        found = Refund.objects.get()
        assert (found.state, found.actor, found.amount) == (State.DONE, None, 700)
        books(paid.organization, 18 * DOLLAR)

    def test_healing_finds_what_nobody_told(self, paid: TopUp, shop: Shop) -> None:
        heal()
        at_stripe(shop, paid, amount=700)
        for _ in range(2):
            heal()
        books(paid.organization, 18 * DOLLAR)

    def test_a_refund_that_is_heard_of_before_its_payment(self, organization: Organization, shop: Shop) -> None:
        top_up = begin(organization)
        pay(top_up)
        intent = str(shop.stripe.v1.checkout.sessions.retrieve(str(top_up.checkout_session)).payment_intent)
        made = shop.stripe.v1.refunds.create({"payment_intent": intent, "amount": 700})
        assert post(event("refund.created", made.id)).status_code == 200
        books(organization, 18 * DOLLAR)

    def test_what_is_not_ours_or_not_there_is_ignored(self, organization: Organization, shop: Shop) -> None:
        foreign = shop.pay()
        made = shop.stripe.v1.refunds.create({"payment_intent": foreign.id})
        assert refunds.hear(made.id, now=now()) == "ignored: not ours"
        assert refunds.hear("re_nothing", now=now()) == "ignored: not there"
        heal()
        assert not Refund.objects.exists()


class TestFailing:
    def test_a_refund_that_the_bank_sends_back_is_given_back(self, organization: Organization, told: Shop) -> None:
        top_up = pay_and_settle(organization, "4000000000005126")
        give_credit(organization, 3 * DOLLAR, priority=10)
        refund(top_up, 10 * DOLLAR)
        told.quiet()
        found = Refund.objects.get()
        assert (found.state, found.transaction_id is None, found.returned_id is None) == (State.FAILED, False, False)
        # To the grant that it was taken from.
        assert sorted(CreditGrant.objects.values_list("remaining_nanos", flat=True)) == [3 * DOLLAR, 25 * DOLLAR]
        assert "Members are told" in Alarm.objects.get(kind="refund_failed").detail
        books(organization, 28 * DOLLAR)
        assert refunding.left(top_up) == 25 * DOLLAR

    def test_members_who_were_told_of_it_are_told_once_that_it_failed(
        self, organization: Organization, shop: Shop
    ) -> None:
        refund(pay_and_settle(organization, "4000000000005126"), 10 * DOLLAR)
        shop.quiet()
        for hours in (1, 2):
            heal(hours)
        _, waiting = NoticeMail.objects.filter(notice__kind="refund").order_by("pk")
        assert mailing.send(waiting.pk, now())
        told = mail.outbox[-1]
        assert "a refund of $10.00 didn't arrive" in told.subject
        assert "The balance has them again" in told.body and "{%" not in told.body

    def test_members_hear_nothing_of_one_that_was_never_made(self, paid: TopUp, shop: Shop) -> None:
        ask(paid)
        heal(hours=2)
        assert "They weren't told" in Alarm.objects.get(kind="refund_failed").detail
        assert not NoticeMail.objects.filter(notice__kind="refund").exists()

    def test_healing_hears_of_it_too_and_gives_back_once(self, organization: Organization, shop: Shop) -> None:
        refund(pay_and_settle(organization, "4000000000005126"))
        shop.quiet()
        for hours in (1, 2, 3):
            heal(hours)
        books(organization, 25 * DOLLAR)

    def test_one_on_its_way_arrives(self, organization: Organization, shop: Shop) -> None:
        assert refund(pay_and_settle(organization, "4000000000007726")).state == State.PENDING
        shop.quiet()
        heal(hours=1)
        assert Refund.objects.get().state == State.DONE
        books(organization, 0)

    def test_what_failed_before_anybody_heard_of_it_moves_nothing(self, organization: Organization, shop: Shop) -> None:
        top_up = pay_and_settle(organization, "4000000000005126")
        made = at_stripe(shop, top_up)
        shop.quiet()
        assert refunds.hear(made.id, now=now()) == "ignored: nothing moved"
        assert not Refund.objects.exists()
        books(organization, 25 * DOLLAR)
