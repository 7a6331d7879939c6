"""Webhooks: only what Stripe signed is read, none of what it says is believed, and whatever comes, money comes once."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.test import Client

from accounts.models import Alarm, Organization
from billing import ledger
from billing.models import Account, Balance, CreditGrant, LedgerTransaction, TopUp, TransactionKind, WebhookEvent
from billing.payments import calling, cards, charging, settling, topping_up
from devstack.stripeserver.version import VERSION
from tests.cast import DOLLAR, make_organization
from tests.devstack.stripeserver.shop import KEY, Shop, card, visit
from tests.paying import HOOK, SECRET, Json, Twisted, begin, completed, event, pay, post, save_card

pytestmark = pytest.mark.django_db(transaction=True)
State = TopUp.State


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


@pytest.fixture
def paid(organization: Organization, shop: Shop) -> TopUp:
    """Of $25; nobody has told us yet."""
    top_up = begin(organization)
    pay(top_up)
    return top_up


class TestSignatures:
    @pytest.mark.parametrize(
        "sent",
        [
            {"secret": "whsec_of_somebody_else_01234"},
            {"secret": ""},
            {"at": datetime.now(UTC) - timedelta(minutes=6)},
            {"header": ""},
            {"header": "t=1,v1="},
            {"header": "nonsense"},
            {"header": "t=x,v1=y"},
        ],
    )
    def test_what_is_forged_or_stale_is_refused_unread(self, paid: TopUp, sent: Json) -> None:
        assert post(completed(paid), **sent).status_code == 400
        assert not WebhookEvent.objects.exists()
        assert balance(paid.organization) == 0

    def test_a_changed_body_is_refused(self, paid: TopUp) -> None:
        from devstack.stripeserver.webhooks.signing import signature

        signed = signature(SECRET, b"{}", int(datetime.now(UTC).timestamp()))
        assert post(completed(paid), header=signed).status_code == 400

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"id": 1}', b'{"id": "evt_1", "type": "x"}'])
    def test_what_is_signed_and_no_event_is_refused(self, organization: Organization, shop: Shop, body: bytes) -> None:
        assert post(body).status_code == 400
        assert not WebhookEvent.objects.exists()

    def test_both_secrets_hold_while_one_replaces_the_other(self, paid: TopUp, settings: Any) -> None:
        settings.STRIPE_WEBHOOK_SECRETS = ["whsec_the_new_one_0123456", SECRET]
        assert post(completed(paid)).status_code == 200
        assert post(completed(paid), secret="whsec_the_new_one_0123456").status_code == 200
        assert balance(paid.organization) == 25 * DOLLAR

    def test_new_api_4319_without_a_secret_nobody_is_believed(self, paid: TopUp, settings: Any) -> None:
        """There, an empty secret accepted what was signed with an empty one. Start-up refuses it, and so does this."""
        for secrets in ([], [""], [" "]):
            settings.STRIPE_WEBHOOK_SECRETS = secrets
            assert post(completed(paid), secret=secrets[0] if secrets else "").status_code == 400
        assert balance(paid.organization) == 0

    def test_without_stripe_there_is_no_such_address(self, db: None, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        assert post({}).status_code == 404
        assert Client().get(HOOK).status_code == 405

    def test_too_much_is_refused(self, shop: Shop, organization: Organization) -> None:
        assert post(b" " * (3 * 1024 * 1024)).status_code == 413


class TestEvents:
    def test_the_same_event_twice_is_handled_once(self, paid: TopUp) -> None:
        for _ in range(2):
            assert post(completed(paid)).status_code == 200
        assert post(completed(paid, id="evt_other")).status_code == 200
        assert balance(paid.organization) == 25 * DOLLAR
        assert sorted(WebhookEvent.objects.values_list("outcome", flat=True)) == ["paid", "paid"]

    @pytest.mark.parametrize(
        ("fields", "outcome"),
        [
            ({"livemode": True}, "ignored: the other mode"),
            ({"account": "acct_of_somebody_else"}, "ignored: another account"),
            ({"type": "customer.created"}, "ignored: its type"),
            ({"type": "something.new"}, "ignored: its type"),
            ({"data": {"object": {"id": "cs_test_unknown"}}}, "ignored: not there"),
        ],
    )
    def test_what_is_not_for_us_is_taken_and_ignored(self, paid: TopUp, fields: Json, outcome: str) -> None:
        assert post(completed(paid, **fields)).status_code == 200
        assert WebhookEvent.objects.get().outcome == outcome
        assert balance(paid.organization) == 0

    def test_events_in_any_order_end_the_same(self, paid: TopUp) -> None:
        session = str(paid.checkout_session)
        for kind in ("async_payment_failed", "expired", "completed", "async_payment_succeeded"):
            assert post(event(f"checkout.session.{kind}", session)).status_code == 200
        paid.refresh_from_db()
        assert paid.state == State.PAID
        assert balance(paid.organization) == 25 * DOLLAR

    @pytest.mark.parametrize("fault", ["duplicate", "reorder", "delay", "bad_signature", "stale"])
    def test_whatever_goes_wrong_on_the_way(self, organization: Organization, told: Shop, fault: str) -> None:
        told.control("faults", {"fault": fault, "seconds": 0.05, "times": 10})
        pay(begin(organization))
        told.quiet()
        assert balance(organization) == 25 * DOLLAR

    def test_gitpod_18810_a_failure_is_no_200_and_comes_again(self, paid: TopUp, shop: Shop, monkeypatch: Any) -> None:
        """There and in new-api, the webhook answered 200 and the credit was lost."""

        def broken(*_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr(ledger, "post", broken)
            assert post(completed(paid)).status_code == 500
        paid.refresh_from_db()
        assert paid.state == State.OPEN
        shop.control("faults", {"fault": "error_before", "route": "GET /v1/checkout/sessions/{id}"})
        assert post(completed(paid)).status_code == 503
        assert WebhookEvent.objects.get().handled_at is None
        assert post(completed(paid)).status_code == 200
        assert balance(paid.organization) == 25 * DOLLAR

    def test_nothing_of_a_body_or_a_card_is_logged(
        self, organization: Organization, told: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            top_up = begin(organization)
            pay(top_up, "4000000000009995")
            pay(top_up)
            told.quiet()
            save_card(told, organization, "pm_card_chargeCustomerFail")
            by_card = {"card": cards.default_of(organization), "actor": None, "now": datetime.now(UTC)}
            charging.charge(topping_up.begin(organization, 5 * DOLLAR, **by_card), present=True, now=datetime.now(UTC))
            top_up.refresh_from_db()
            told.stripe.v1.refunds.create({"payment_intent": str(top_up.payment_intent), "amount": 500})
            there = told.stripe.v1.payment_intents.retrieve(str(top_up.payment_intent))
            told.control("disputes", {"charge": there.latest_charge})
            told.quiet()
            post(b'{"id": "evt_bad", "name": "Ann"}')
            post({"id": "evt_bad", "name": "Ann"}, secret="whsec_of_somebody_else_01234")
        finally:
            logging.getLogger().setLevel(logging.INFO)
        logged = caplog.text
        assert "webhook handled" in logged
        for word in (
            "Ann",
            "ann@example.com",
            "4242",
            "9995",
            "payment_status",
            "whsec_",
            KEY,
            "fraudulent",
            "requested_by_customer",
        ):
            assert word not in logged, word


class TestOnlyWhatFits:
    """Stripe says paid, and something isn't as we asked for it: nothing is credited, and a person looks."""

    @pytest.mark.parametrize(
        ("what", "changes"),
        [
            ("currency", {"currency": "jpy"}),
            ("amount", {"amount_total": 2499}),
            ("amount", {"amount_total": 250_000}),
            ("live mode", {"livemode": True}),
            ("customer", {"customer": "cus_somebody_else"}),
            ("customer", {"customer": None}),
            ("organization", {"metadata": {"organization": "org_somebody_else"}}),
            ("organization", {"metadata": {}}),
            ("reference", {"client_reference_id": "top_another"}),
            ("mode", {"mode": "subscription"}),
            ("payment's status", {"payment_intent": {"status": "processing"}}),
            ("payment's currency", {"payment_intent": {"currency": "eur"}}),
            ("payment's customer", {"payment_intent": {"customer": "cus_somebody_else"}}),
            ("payment's live mode", {"payment_intent": {"livemode": True}}),
            ("amount received", {"payment_intent": {"amount_received": 1}}),
            ("payment's status", {"payment_intent": None}),
        ],
    )
    def test_what_differs_is_not_credited(self, paid: TopUp, twist: Twisted, what: str, changes: Json) -> None:
        def change(path: str, answer: Json) -> None:
            for name, value in changes.items():
                if isinstance(value, dict) and name == "payment_intent":
                    answer[name].update(value)
                else:
                    answer[name] = value

        twist.twist = change
        assert post(completed(paid)).status_code == 200
        paid.refresh_from_db()
        assert paid.state == State.OPEN
        assert what in paid.trouble
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.subject) == ("payment_differs", paid.public_id)
        assert not LedgerTransaction.objects.filter(kind=TransactionKind.TOP_UP).exists()
        # Once it fits, it is credited all the same.
        twist.twist = lambda path, answer: None
        settling.look(paid, now=datetime.now(UTC))
        assert balance(paid.organization) == 25 * DOLLAR

    def test_a_page_that_was_free_of_charge_credits_nothing(self, organization: Organization, twist: Twisted) -> None:
        top_up = begin(organization)
        free = {"status": "complete", "payment_status": "no_payment_required"}
        twist.twist = lambda path, answer: answer.update(free)
        assert post(completed(top_up)).status_code == 200
        assert balance(organization) == 0

    def test_a_balance_that_would_be_too_large_is_for_a_person(self, paid: TopUp, monkeypatch: Any) -> None:
        monkeypatch.setattr(ledger, "LARGEST_BALANCE", DOLLAR)
        assert post(completed(paid)).status_code == 200
        paid.refresh_from_db()
        assert "can't be credited" in paid.trouble
        assert balance(paid.organization) == 0

    def test_a_payment_that_the_ledger_has_already_is_for_a_person(self, paid: TopUp) -> None:
        intent = str(settling.session(str(paid.checkout_session)).intent.id)  # type: ignore[union-attr]
        now = datetime.now(UTC)
        terms = ledger.GrantTerms(source=CreditGrant.Source.TOP_UP, priority=50)
        movement = ledger.Movement(
            operation_key=f"top-up:{intent}",
            kind=TransactionKind.TOP_UP,
            organization_id=paid.organization_id,
            nanos=25 * DOLLAR,
            counter=Account.CASH_STRIPE,
            event_day=now.date(),
            grant=terms,
        )
        ledger.post([movement], now=now)
        assert post(completed(paid)).status_code == 200
        assert balance(paid.organization) == 25 * DOLLAR
        assert "credited before" in TopUp.objects.get().trouble


class TestPaymentsThatTakeDays:
    """Of methods where the customer is done and the bank isn't."""

    @pytest.fixture
    def waiting(self, organization: Organization, twist: Twisted) -> TopUp:
        top_up = begin(organization)
        pay(top_up)

        def change(path: str, answer: Json) -> None:
            answer["payment_status"] = "unpaid"
            answer["payment_intent"].update(status="processing", amount_received=0)

        twist.twist = change
        assert post(completed(top_up)).status_code == 200
        top_up.refresh_from_db()
        assert top_up.state == State.PROCESSING
        assert balance(organization) == 0
        return top_up

    def test_they_are_credited_when_the_bank_has_paid(self, waiting: TopUp, twist: Twisted) -> None:
        twist.twist = lambda path, answer: None
        done = event("checkout.session.async_payment_succeeded", str(waiting.checkout_session))
        assert post(done).status_code == 200
        assert balance(waiting.organization) == 25 * DOLLAR

    def test_they_fail_where_it_has_not(self, waiting: TopUp, twist: Twisted) -> None:
        def change(path: str, answer: Json) -> None:
            answer["payment_status"] = "unpaid"
            answer["payment_intent"].update(status="requires_payment_method", amount_received=0)

        twist.twist = change
        failed = event("checkout.session.async_payment_failed", str(waiting.checkout_session))
        assert post(failed).status_code == 200
        waiting.refresh_from_db()
        assert (waiting.state, waiting.why) == (State.FAILED, "The payment didn't go through.")
        assert balance(waiting.organization) == 0


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


def test_the_version_of_the_api_is_the_librarys_and_the_local_stripes(shop: Shop) -> None:
    """Raising the library raises none by itself: this fails, and somebody reads Stripe's list of changes."""
    assert calling.API_VERSION == stripe.api_version == VERSION
