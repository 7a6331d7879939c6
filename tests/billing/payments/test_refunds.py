"""Refunds by staff: each takes its credit once, whatever the calls do."""

from uuid import uuid4

import pytest
from django.core import mail
from django.db import connection

from accounts.models import Alarm, AuditEntry, Organization
from billing.models import Balance, CreditGrant, LedgerTransaction, NoticeMail, Refund, TopUp
from billing.notices import mailing
from billing.payments import calling, payers, refunding, refunds
from hotstate import aside
from tests.at_once import at_once
from tests.billing.payments.refunded import ask, at_stripe, books, heal, now, order, pay_and_settle, refund, spend
from tests.cast import DOLLAR, give_credit, make_user
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin

pytestmark = pytest.mark.django_db(transaction=True)
REFUNDS = "POST /v1/refunds"
State = Refund.State


class TestOurs:
    def test_a_full_refund_takes_the_credit_once(self, paid: TopUp, shop: Shop) -> None:
        made = refund(paid)
        assert made.state == State.DONE
        [there] = shop.stripe.v1.refunds.list({"payment_intent": str(paid.payment_intent)}).data
        assert (there.id, there.amount) == (made.stripe_id, 2500)
        assert LedgerTransaction.objects.filter(kind="refund").count() == 1
        assert CreditGrant.objects.get().remaining_nanos == 0
        assert AuditEntry.objects.get(action="payment.refund").target == paid.public_id
        books(paid.organization, 0)

    def test_several_partial_ones_and_never_more_than_was_paid(self, paid: TopUp, shop: Shop) -> None:
        refund(paid, 10 * DOLLAR)
        refund(paid, 5 * DOLLAR)
        with pytest.raises(refunding.RefundError, match=r"\$10\.00 can be refunded"):
            ask(paid, 11 * DOLLAR, may_owe=True)
        refund(paid, 10 * DOLLAR)
        assert refunding.left(paid) == 0
        books(paid.organization, 0)

    def test_only_what_is_unspent_of_its_own_credit_unless_it_may_owe(self, paid: TopUp, shop: Shop) -> None:
        organization = paid.organization
        give_credit(organization, 3 * DOLLAR, priority=90)
        spend(organization, 20 * DOLLAR + 1)
        paid.refresh_from_db()
        assert refunding.unspent(paid) == 4_990_000_000
        with pytest.raises(refunding.RefundError, match=r"\$4\.99 are unspent"):
            ask(paid, 5 * DOLLAR)
        assert not Refund.objects.exists()
        # Its own credit first, then other credit, then a debt.
        refund(paid, 10 * DOLLAR, may_owe=True)
        assert [grant.remaining_nanos for grant in CreditGrant.objects.all()] == [0, 0]
        assert Balance.objects.get(organization=organization).debt_nanos == 2 * DOLLAR + 1
        books(organization, -2 * DOLLAR - 1)

    def test_other_credit_is_left_alone_while_its_own_covers_it(self, organization: Organization, shop: Shop) -> None:
        give_credit(organization, 3 * DOLLAR, priority=10)
        refund(pay_and_settle(organization), 10 * DOLLAR)
        assert sorted(CreditGrant.objects.values_list("remaining_nanos", flat=True)) == [3 * DOLLAR, 15 * DOLLAR]

    def test_what_running_requests_hold_is_not_unspent(self, paid: TopUp, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aside, "set_aside", lambda *_args, **_kwargs: False)
        with pytest.raises(refunding.RefundError, match="Running requests hold"):
            ask(paid)
        books(paid.organization, 25 * DOLLAR)

    def test_the_same_form_twice_is_one_refund(self, paid: TopUp, shop: Shop) -> None:
        request_id = uuid4()
        first = refund(paid, 5 * DOLLAR, request_id=request_id)
        assert refund(paid, 5 * DOLLAR, request_id=request_id) == first
        assert len(shop.stripe.v1.refunds.list().data) == 1
        books(paid.organization, 20 * DOLLAR)

    def test_two_forms_at_once_refund_no_more_than_was_paid(self, paid: TopUp, shop: Shop) -> None:
        actor = make_user("staff@example.com", is_staff=True)

        def go() -> None:
            refund(paid, 15 * DOLLAR, actor=actor, may_owe=True)

        failures = at_once(go, go, go)
        assert [type(failure) for failure in failures] == [refunding.RefundError] * 2
        assert len(shop.stripe.v1.refunds.list().data) == 1
        books(paid.organization, 10 * DOLLAR)

    def test_a_form_of_another_payment_refunds_nothing(self, paid: TopUp, shop: Shop) -> None:
        request_id = uuid4()
        refund(paid, 5 * DOLLAR, request_id=request_id)
        with pytest.raises(refunding.RefundError, match="another payment"):
            ask(pay_and_settle(paid.organization), 5 * DOLLAR, request_id=request_id)
        assert len(shop.stripe.v1.refunds.list().data) == 1

    @pytest.mark.parametrize("nanos", [0, -DOLLAR, 1, 26 * DOLLAR])
    def test_an_odd_amount_is_refused(self, paid: TopUp, nanos: int) -> None:
        with pytest.raises(refunding.RefundError):
            ask(paid, nanos, may_owe=True)
        books(paid.organization, 25 * DOLLAR)

    def test_what_was_not_paid_is_not_refunded(self, organization: Organization, shop: Shop) -> None:
        with pytest.raises(refunding.RefundError, match="Only what was paid"):
            ask(begin(organization))

    def test_members_are_told_once(self, paid: TopUp, shop: Shop) -> None:
        made = refund(paid, 5 * DOLLAR)
        refunds.look(made, now=now())
        [waiting] = NoticeMail.objects.filter(notice__kind="refund")
        assert mailing.send(waiting.pk, now())
        assert "$5.00 are refunded" in mail.outbox[-1].subject


class TestUnknownOutcomes:
    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_what_was_done_without_an_answer_is_found(self, paid: TopUp, shop: Shop, fault: str) -> None:
        order(shop, fault)
        assert refund(paid).state == State.DONE
        assert len(shop.stripe.v1.refunds.list().data) == 1
        books(paid.organization, 0)

    def test_what_was_not_done_gives_back_after_an_hour_and_staff_hear(self, paid: TopUp, shop: Shop) -> None:
        order(shop, "error_before")
        with pytest.raises(calling.UnknownError):
            refund(paid)
        heal()
        books(paid.organization, 0)
        heal(hours=2)
        assert Refund.objects.get().state == State.FAILED
        assert Alarm.objects.get().kind == "refund_failed"
        books(paid.organization, 25 * DOLLAR)

    def test_killed_between_the_row_and_the_call(self, paid: TopUp, shop: Shop) -> None:
        ask(paid)
        heal(hours=2)
        assert not shop.stripe.v1.refunds.list().data
        books(paid.organization, 25 * DOLLAR)

    def test_killed_after_the_call(self, paid: TopUp, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(refunds, "take", lambda *_args, **_kwargs: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                refund(paid)
        heal(hours=2)
        assert Refund.objects.get().state == State.DONE
        books(paid.organization, 0)

    def test_one_that_was_given_up_and_is_made_after_all_is_posted(self, paid: TopUp, shop: Shop) -> None:
        asked = ask(paid)
        heal(hours=2)
        late = at_stripe(shop, paid, metadata={"refund": asked.public_id})
        assert refunds.hear(late.id, now=now()) == State.DONE
        assert sorted(Refund.objects.values_list("state", flat=True)) == ["done", "failed"]
        books(paid.organization, 0)

    def test_one_that_stripe_turns_out_to_have_is_not_given_up(self, paid: TopUp, shop: Shop) -> None:
        """Whoever found nothing there may say so after a webhook has told of it."""
        asked = ask(paid)
        made = at_stripe(shop, paid, metadata={"refund": asked.public_id})
        refunds.hear(made.id, now=now())
        assert refunds.give_up(asked, "Stripe never got it.", now=now()).state == State.DONE
        books(paid.organization, 0)

    def test_a_refusal_gives_back_at_once(self, paid: TopUp, shop: Shop) -> None:
        at_stripe(shop, paid)
        with pytest.raises(calling.RefusedError):
            refund(paid)
        assert "refunded before" in Refund.objects.get().why
        books(paid.organization, 25 * DOLLAR)
        heal()
        books(paid.organization, 0)

    def test_no_transaction_is_open_while_stripe_is_asked(self, paid: TopUp, shop: Shop) -> None:
        asked = ask(paid)
        assert not connection.in_atomic_block
        with payers.held(paid), pytest.raises(calling.OpenTransactionError):
            refunding.send(asked, now=now())
