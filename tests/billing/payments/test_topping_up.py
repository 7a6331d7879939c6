"""A top-up from the wish to the credit: paid once, credited once, whatever the calls and the webhooks do."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction

from accounts.models import Alarm, Organization
from billing.models import Balance, CreditGrant, NoticeMail, StripeCustomer, TopUp
from billing.notices import mailing
from billing.payments import calling, customers, healing, settling, topping_up
from billing.proofs.proving import prove
from tests.cast import DOLLAR
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import begin, completed, pay, post
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
SESSIONS = "POST /v1/checkout/sessions"
State = TopUp.State


def now() -> datetime:
    return datetime.now(UTC)


def later() -> datetime:
    return now() + timedelta(minutes=10)


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


def look(top_up: TopUp, now: datetime | None = None) -> TopUp:
    return settling.look(TopUp.objects.select_related("organization").get(pk=top_up.pk), now=now or datetime.now(UTC))


def order(shop: Shop, fault: str, route: str = SESSIONS, **fields: Any) -> None:
    shop.control("faults", {"fault": fault, "route": route, **fields})


def credited(organization: Organization, dollars: int) -> None:
    """So much, by one transaction each, and the books agree."""
    assert balance(organization) == dollars * DOLLAR
    # Nobody closes days here.
    assert {result.name for result in prove(datetime.now(UTC)) if not result.ok} <= {"nothing_stuck"}


class TestPaid:
    def test_a_card_pays_and_the_balance_has_it(self, organization: Organization, told: Shop) -> None:
        top_up = begin(organization)
        assert top_up.state == State.OPEN
        assert pay(top_up).status == 303
        told.quiet()
        top_up.refresh_from_db()
        assert (top_up.state, top_up.pay_url, top_up.trouble) == (State.PAID, "", "")
        credited(organization, 25)
        grant = CreditGrant.objects.get(organization=organization)
        assert (grant.source, grant.amount_nanos, grant.expires_at) == (CreditGrant.Source.TOP_UP, 25 * DOLLAR, None)
        assert top_up.transaction
        assert top_up.transaction.operation_key == f"top-up:{top_up.payment_intent}"

    def test_stripe_is_told_whose_it_is_and_nothing_of_a_person(self, organization: Organization, shop: Shop) -> None:
        top_up = begin(organization, saves_card=True)
        pay(top_up)
        top_up = look(top_up)
        intent = shop.stripe.v1.payment_intents.retrieve(str(top_up.payment_intent))
        assert intent.metadata.to_dict() == {"top_up": top_up.public_id, "organization": organization.public_id}
        assert (intent.setup_future_usage, intent.customer) == ("off_session", top_up.customer)
        customer = shop.stripe.v1.customers.retrieve(top_up.customer)
        assert (customer.name, customer.email) == ("Acme", None)
        begin(organization)
        assert StripeCustomer.objects.count() == 1

    def test_the_return_page_and_any_number_of_webhooks_at_once_credit_once(
        self, organization: Organization, shop: Shop
    ) -> None:
        top_up = begin(organization)
        pay(top_up)
        together = threading.Barrier(4)
        failures: list[BaseException] = []

        def go(work: Any) -> None:
            from django.db import connection

            try:
                together.wait(10)
                work()
            except BaseException as error:
                failures.append(error)
            finally:
                connection.close()

        works = [lambda: look(top_up), lambda: look(top_up)]
        works += [lambda: post(completed(top_up)), lambda: post(completed(top_up, id="evt_other"))]
        threads = [threading.Thread(target=go, args=[work]) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert failures == []
        credited(organization, 25)

    def test_members_get_the_receipt_after_the_credit(self, organization: Organization, told: Shop) -> None:
        top_up = begin(organization)
        pay(top_up)
        told.quiet()
        [waiting] = NoticeMail.objects.all()
        assert mailing.send(waiting.pk, now())
        assert "$25.00" in mail.outbox[0].subject
        assert top_up.public_id in mail.outbox[0].body

    def test_a_declined_card_leaves_it_open_and_another_pays(self, organization: Organization, told: Shop) -> None:
        top_up = begin(organization)
        assert pay(top_up, "4000000000009995").status == 402
        assert look(top_up).state == State.OPEN
        credited(organization, 0)
        pay(top_up)
        told.quiet()
        credited(organization, 25)

    def test_what_nobody_pays_expires(self, organization: Organization, told: Shop) -> None:
        top_up = begin(organization)
        told.control("clock", {"ahead": 3700})
        wait_until(lambda: TopUp.objects.get().state == State.EXPIRED, "its end")
        assert "expired" in visit(top_up.pay_url).text.lower()
        credited(organization, 0)


class TestAmounts:
    @pytest.mark.parametrize("nanos", [0, 4_990_000_000, 5_001 * DOLLAR, 10_001_000_000])
    def test_those_out_of_bounds_or_of_half_a_cent_are_refused(
        self, organization: Organization, shop: Shop, nanos: int
    ) -> None:
        with pytest.raises(topping_up.AmountError):
            topping_up.begin(organization, nanos, saves_card=False, actor=None, now=now())
        assert not TopUp.objects.exists()

    def test_a_page_is_not_made_without_end(self, organization: Organization, shop: Shop, monkeypatch: Any) -> None:
        monkeypatch.setattr(topping_up, "MOST_OPEN", 2)
        begin(organization)
        begin(organization)
        with pytest.raises(topping_up.TooManyError):
            begin(organization)


class TestUnknownOutcomes:
    """Nobody knows whether the page was made: it is looked up, and never asked for twice."""

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_a_page_whose_answer_was_lost_is_found(self, organization: Organization, shop: Shop, fault: str) -> None:
        order(shop, fault)
        top_up = begin(organization)
        assert top_up.pay_url
        assert len(shop.stripe.v1.checkout.sessions.list().data) == 1
        pay(top_up)
        assert look(top_up).state == State.PAID
        credited(organization, 25)

    def test_a_page_that_was_not_made_is_told_as_unknown_and_ends_as_failed(
        self, organization: Organization, shop: Shop
    ) -> None:
        order(shop, "error_before")
        with pytest.raises(calling.UnknownError):
            begin(organization, now=now())
        assert TopUp.objects.get().state == State.OPEN
        healing.heal(later)
        assert TopUp.objects.get().state == State.OPEN
        healing.heal(lambda: now() + timedelta(hours=2))
        assert TopUp.objects.get().state == State.FAILED
        begin(organization)

    def test_a_page_that_is_found_later_can_be_paid(self, organization: Organization, shop: Shop) -> None:
        order(shop, "cut")
        order(shop, "error_before", "GET /v1/checkout/sessions")
        with pytest.raises(calling.UnknownError):
            begin(organization)
        assert healing.heal(later) == 1
        top_up = TopUp.objects.get()
        pay(top_up)
        assert look(top_up).state == State.PAID
        credited(organization, 25)

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_a_customer_whose_answer_was_lost_is_found(
        self, organization: Organization, shop: Shop, fault: str
    ) -> None:
        order(shop, fault, "POST /v1/customers")
        assert begin(organization).pay_url
        assert len(shop.stripe.v1.customers.list().data) == 1

    def test_a_customer_that_was_not_made_is_made_the_next_time(self, organization: Organization, shop: Shop) -> None:
        order(shop, "error_before", "POST /v1/customers")
        with pytest.raises(calling.UnknownError):
            begin(organization)
        assert begin(organization).pay_url

    def test_a_refusal_is_told_and_staff_hear_of_it(
        self, organization: Organization, shop: Shop, settings: Any
    ) -> None:
        settings.STRIPE_SECRET_KEY = "sk_test_of_somebody_else"
        with pytest.raises(calling.RefusedError):
            begin(organization)
        assert TopUp.objects.get().state == State.FAILED
        assert Alarm.objects.get().kind == "stripe_refuses"

    def test_too_many_requests_are_no_alarm(self, organization: Organization, shop: Shop) -> None:
        order(shop, "rate_limit")
        with pytest.raises(calling.RefusedError):
            begin(organization)
        assert TopUp.objects.get().state == State.FAILED
        assert not Alarm.objects.exists()

    def test_a_customer_that_stripe_has_no_more_is_made_again(self, organization: Organization, shop: Shop) -> None:
        shop.stripe.v1.customers.delete(begin(organization).customer)
        with pytest.raises(calling.RefusedError):
            begin(organization)
        assert begin(organization).pay_url

    def test_the_idempotency_key_is_the_rows_id(self, organization: Organization, shop: Shop) -> None:
        """Whoever asked a second time all the same would get the same page."""
        top_up = begin(organization)
        assert topping_up._create(top_up).id == top_up.checkout_session


class TestHealing:
    def test_a_lost_webhook_is_made_up_for(self, organization: Organization, told: Shop) -> None:
        told.control("faults", {"fault": "drop", "times": 20})
        pay(begin(organization))
        told.quiet()
        assert balance(organization) == 0
        assert healing.heal(later) == 1
        credited(organization, 25)
        assert healing.heal(later) == 0

    def test_stripe_away_puts_it_off_and_staff_hear_of_it(self, organization: Organization, shop: Shop) -> None:
        pay(begin(organization))
        order(shop, "error_before", "GET /v1/checkout/sessions/{id}", times=2)
        assert healing.heal(later) == 0
        assert not Alarm.objects.exists()
        assert healing.heal(lambda: now() + timedelta(minutes=25)) == 0
        assert Alarm.objects.get().kind == "stripe_away"
        assert healing.heal(later) == 1
        credited(organization, 25)

    def test_what_belongs_to_the_other_mode_is_left_alone(
        self, organization: Organization, shop: Shop, settings: Any
    ) -> None:
        top_up = begin(organization)
        settings.STRIPE_SECRET_KEY = "sk_live_now"
        assert healing.heal(later) == 0
        assert look(top_up).state == State.OPEN


def test_no_call_is_made_within_a_transaction(organization: Organization, shop: Shop) -> None:
    with transaction.atomic(), pytest.raises(calling.OpenTransactionError):
        customers.customer_of(organization, now=now())
    with transaction.atomic(), pytest.raises(RuntimeError):
        begin(organization)
    assert not shop.stripe.v1.customers.list().data
