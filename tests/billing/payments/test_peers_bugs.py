"""Bugs of payments that peers shipped, told by webhooks. The others are beside what they are of."""

import pytest

from accounts.models import Alarm, Organization
from billing.models import Balance, TopUp, WebhookEvent
from tests.cast import DOLLAR, make_organization
from tests.devstack.stripeserver.shop import Shop, card, visit
from tests.paying import Json, Twisted, begin, event, pay, post

pytestmark = pytest.mark.django_db(transaction=True)
State = TopUp.State


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


class TestPeersBugs:
    def test_flexprice_794_paying_something_else_fills_no_balance(self, organization: Organization, told: Shop) -> None:
        """There, paying an invoice also filled the wallet: here a payment fills it that a top-up asked for."""
        customer = begin(organization).customer
        method = told.saved_card(customer)
        told.pay(method.id, customer=customer)
        other = told.session(customer=customer, metadata={"organization": organization.public_id})
        visit(str(other.url), **card())
        told.quiet()
        assert balance(organization) == 0
        assert not Alarm.objects.exists()
        assert "ignored: not ours" in WebhookEvent.objects.values_list("outcome", flat=True)

    def test_new_api_4353_another_channel_credits_no_order(self, organization: Organization, told: Shop) -> None:
        """There, an order was credited through another payment channel: here through its own page alone."""
        top_up = begin(organization)
        other = told.session(amount=50, customer=top_up.customer, client_reference_id=top_up.public_id)
        visit(str(other.url), **card())
        told.quiet()
        assert balance(organization) == 0
        assert Alarm.objects.get().kind == "payment_differs"
        pay(top_up)
        told.quiet()
        assert balance(organization) == 25 * DOLLAR

    def test_somebody_elses_order_can_not_be_named(self, organization: Organization, told: Shop) -> None:
        mine, theirs = begin(organization), begin(make_organization("Elsewhere"))
        other = told.session(customer=mine.customer, client_reference_id=theirs.public_id)
        visit(str(other.url), **card())
        told.quiet()
        assert balance(theirs.organization) == balance(organization) == 0

    @pytest.mark.parametrize("fault", ["error_after", "cut", "never"])
    def test_kill_bill_1015_an_unknown_outcome_is_looked_up_and_not_tried_again(
        self, organization: Organization, told: Shop, fault: str
    ) -> None:
        """There, a retry paid twice."""
        told.control("faults", {"fault": fault, "route": "POST /v1/checkout/sessions"})
        pay(begin(organization))
        told.quiet()
        assert len(told.stripe.v1.checkout.sessions.list().data) == 1
        assert len(told.stripe.v1.charges.list().data) == 1
        assert balance(organization) == 25 * DOLLAR

    def test_new_api_the_row_is_there_before_the_page(
        self, organization: Organization, shop: Shop, twist: Twisted
    ) -> None:
        """There, the order was written after the checkout existed: a webhook that was quicker found none."""
        seen: list[int] = []

        def pay_at_once(path: str, answer: Json) -> None:
            if answer.get("object") == "checkout.session" and answer["status"] == "open" and not seen:
                seen.append(TopUp.objects.filter(public_id=answer["client_reference_id"]).count())
                visit(answer["url"], **card())
                told = event("checkout.session.completed", answer["id"])
                seen.append(post(told).status_code)

        twist.twist = pay_at_once
        top_up = begin(organization)
        assert seen == [1, 200]
        assert (top_up.state, balance(organization)) == (State.PAID, 25 * DOLLAR)
