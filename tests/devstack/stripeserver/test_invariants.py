"""Whatever is done to the local Stripe, and in whatever order: its own books are right."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from devstack.stripeserver import checking_out, declining, disputing, moments, paying
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.cards import BANK_ACCOUNTS, CARDS, Card
from devstack.stripeserver.methods import keep_method
from devstack.stripeserver.resources.table import route_for
from devstack.stripeserver.store import Json

CARD = some.sampled_from(CARDS)
PLACE = some.integers(0, 50)
AMOUNT = some.integers(50, 5000)


@contextlib.contextmanager
def or_refused() -> Iterator[None]:
    """Stripe says no in its own way; any other error is ours."""
    with contextlib.suppress(Problem):
        yield


class Shopping(RuleBasedStateMachine):
    """Operations without HTTP, so that many fit into a second."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account("http://localhost:1", moment=10)
        self.customer = self.call("POST", "/v1/customers")["id"]

    def call(self, method: str, path: str, **given: Any) -> Json:
        found = route_for(method, path)
        assert found
        return found[0].operation(self.account, given | found[1])

    def pick(self, kind: str, place: int) -> Json | None:
        things = list(self.account.store.newest(kind))
        return things[place % len(things)] if things else None

    @rule(card=CARD, amount=AMOUNT, manual=some.booleans(), saving=some.booleans())
    def pay(self, card: Card, amount: int, manual: bool, saving: bool) -> None:
        given: Json = {"capture_method": "manual"} if manual else {}
        given |= {"customer": self.customer, "setup_future_usage": "off_session"} if saving else {}
        given |= {"amount": amount, "currency": "usd", "payment_method": card.method, "confirm": True}
        with or_refused():
            self.call("POST", "/v1/payment_intents", return_url="http://x/", **given)

    @rule(card=some.sampled_from((*CARDS, *BANK_ACCOUNTS)), amount=AMOUNT, save=some.booleans())
    def check_out(self, card: Card, amount: int, save: bool) -> None:
        price = {"currency": "usd", "unit_amount": amount, "product_data": {"name": "x"}}
        given = {"mode": "payment", "success_url": "http://x/", "customer": self.customer}
        types = ["card", "us_bank_account"]
        items = [{"price_data": price, "quantity": 1}]
        session = self.call(
            "POST", "/v1/checkout/sessions", line_items=items, allowed_payment_method_types=types, **given
        )
        method = keep_method(self.account, card, (12, 2040), {})
        with or_refused():
            checking_out.confirm(self.account, session, method, email=None, save=save)

    @rule(place=PLACE, amount=some.none() | AMOUNT)
    def refund(self, place: int, amount: int | None) -> None:
        if charge := self.pick("charge", place):
            with or_refused():
                self.call("POST", "/v1/refunds", charge=charge["id"], amount=amount)

    @rule(place=PLACE, amount=some.none() | AMOUNT)
    def capture(self, place: int, amount: int | None) -> None:
        if intent := self.pick("payment_intent", place):
            with or_refused():
                paying.capture(self.account, intent, amount)

    @rule(place=PLACE)
    def cancel(self, place: int) -> None:
        if intent := self.pick("payment_intent", place):
            with or_refused():
                self.call("POST", f"/v1/payment_intents/{intent['id']}/cancel")

    @rule(place=PLACE, passes=some.booleans())
    def authenticate(self, place: int, passes: bool) -> None:
        intent = self.pick("payment_intent", place)
        if not intent or intent["status"] != "requires_action":
            return
        with or_refused():
            if passes:
                paying.attempt(self.account, intent, authenticated=True)
            else:
                declining.fail_authentication(self.account, intent)

    @rule(place=PLACE)
    def dispute(self, place: int) -> None:
        if charge := self.pick("charge", place):
            with or_refused():
                disputing.open_dispute(self.account, charge, "general")

    @rule(place=PLACE, won=some.booleans())
    def decide(self, place: int, won: bool) -> None:
        if made := self.pick("dispute", place):
            with or_refused():
                disputing.close(self.account, made, "won" if won else "lost")

    @precondition(lambda self: self.account.agenda)
    @rule()
    def time_passes(self) -> None:
        self.account.ahead += 11
        with contextlib.redirect_stderr(io.StringIO()) as complaints:
            moments.do_what_is_due(self.account)
        assert complaints.getvalue() == ""

    @invariant()
    def every_paid_intent_has_one_paid_charge(self) -> None:
        charges = list(self.account.store.newest("charge"))
        for intent in self.account.store.newest("payment_intent"):
            paid = [each for each in charges if each["payment_intent"] == intent["id"] and each["paid"]]
            assert len(paid) == (intent["status"] in ("succeeded", "requires_capture") or bool(_released(paid)))
            received = sum(each["amount_captured"] for each in paid)
            assert received == intent["amount_received"] <= intent["amount"]

    @invariant()
    def a_charge_has_what_was_given_back(self) -> None:
        for charge in self.account.store.newest("charge"):
            refunds = [each for each in self.account.store.newest("refund") if each["charge"] == charge["id"]]
            given = sum(each["amount"] for each in refunds if each["status"] != "failed")
            assert charge["amount_refunded"] == given + (_not_taken(charge) if charge["paid"] else 0)
            assert charge["amount_refunded"] <= charge["amount"]
            assert charge["refunded"] == (charge["paid"] and charge["amount_refunded"] == charge["amount"])

    @invariant()
    def the_books_have_each_movement_once(self) -> None:
        store = self.account.store
        entries = list(store.newest("balance_transaction"))
        moved = sum(each["amount"] for each in entries)
        taken = sum(each["amount_captured"] for each in store.newest("charge") if each["balance_transaction"])
        back = sum(each["amount"] for each in store.newest("refund") if each["status"] != "failed")
        withdrawn = ("needs_response", "under_review", "lost")
        lost = sum(each["amount"] for each in store.newest("dispute") if each["status"] in withdrawn)
        assert moved == taken - back - lost
        kinds = [(each["source"], each["reporting_category"]) for each in entries]
        assert len(kinds) == len(set(kinds))

    @invariant()
    def a_charge_is_disputed_once_and_knows_it(self) -> None:
        disputed = [each["charge"] for each in self.account.store.newest("dispute")]
        assert len(disputed) == len(set(disputed))
        assert set(disputed) == {each["id"] for each in self.account.store.newest("charge") if each["disputed"]}

    @invariant()
    def a_paid_session_has_a_paid_intent(self) -> None:
        for session in self.account.store.newest("checkout.session"):
            intent = self.account.store.get(session["payment_intent"] or "") or {}
            assert (session["payment_status"] == "paid") <= (intent.get("status") == "succeeded")


def _not_taken(charge: Json) -> int:
    """What was authorized and is free again."""
    if charge["captured"]:
        return int(charge["amount"] - charge["amount_captured"])
    return int(charge["amount"]) if charge["refunded"] else 0


def _released(paid: list[Json]) -> list[Json]:
    return [each for each in paid if not each["captured"] and each["refunded"]]


TestShopping = Shopping.TestCase
TestShopping.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
