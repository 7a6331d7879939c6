"""What Stripe says of a payment is compared with what was asked for, and credited only where all of it fits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Alarm, Organization
from billing import ledger
from billing.models import Account, Balance, CreditGrant, LedgerTransaction, TopUp, TransactionKind
from billing.payments import settling
from tests.cast import DOLLAR
from tests.paying import Json, Twisted, begin, completed, event, pay, post

pytestmark = pytest.mark.django_db(transaction=True)
State = TopUp.State


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


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
    def test_what_differs_is_not_credited(self, untold: TopUp, twist: Twisted, what: str, changes: Json) -> None:
        def change(path: str, answer: Json) -> None:
            for name, value in changes.items():
                if isinstance(value, dict) and name == "payment_intent":
                    answer[name].update(value)
                else:
                    answer[name] = value

        twist.twist = change
        assert post(completed(untold)).status_code == 200
        untold.refresh_from_db()
        assert untold.state == State.OPEN
        assert what in untold.trouble
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.subject) == ("payment_differs", untold.public_id)
        assert not LedgerTransaction.objects.filter(kind=TransactionKind.TOP_UP).exists()
        # Once it fits, it is credited all the same.
        twist.twist = lambda path, answer: None
        settling.look(untold, now=datetime.now(UTC))
        assert balance(untold.organization) == 25 * DOLLAR

    def test_a_page_that_was_free_of_charge_credits_nothing(self, organization: Organization, twist: Twisted) -> None:
        top_up = begin(organization)
        free = {"status": "complete", "payment_status": "no_payment_required"}
        twist.twist = lambda path, answer: answer.update(free)
        assert post(completed(top_up)).status_code == 200
        assert balance(organization) == 0

    def test_a_balance_that_would_be_too_large_is_for_a_person(self, untold: TopUp, monkeypatch: Any) -> None:
        monkeypatch.setattr(ledger, "LARGEST_BALANCE", DOLLAR)
        assert post(completed(untold)).status_code == 200
        untold.refresh_from_db()
        assert "can't be credited" in untold.trouble
        assert balance(untold.organization) == 0

    def test_a_payment_that_the_ledger_has_already_is_for_a_person(self, untold: TopUp) -> None:
        intent = str(settling.session(str(untold.checkout_session)).intent.id)  # type: ignore[union-attr]
        now = datetime.now(UTC)
        terms = ledger.GrantTerms(source=CreditGrant.Source.TOP_UP, priority=50)
        movement = ledger.Movement(
            operation_key=f"top-up:{intent}",
            kind=TransactionKind.TOP_UP,
            organization_id=untold.organization_id,
            nanos=25 * DOLLAR,
            counter=Account.CASH_STRIPE,
            event_day=now.date(),
            grant=terms,
        )
        ledger.post([movement], now=now)
        assert post(completed(untold)).status_code == 200
        assert balance(untold.organization) == 25 * DOLLAR
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
