"""Whatever customer, staff, Stripe and the network do, in whatever order: after healing both sides agree to the cent.

Real calls to the local Stripe, and its real webhooks to our endpoint, with faults on both. Each history has an
organization of its own. What is killed between our row and the call, or between the call and its note, stays so.
"""

import threading
import urllib.error
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import uuid4

import pytest
import stripe
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from accounts.models import User
from billing.models import Balance, Dispute, LedgerTransaction, PaymentMark, Refund, TopUp
from billing.payments import differences, healing, refunding, refunds, settling, topping_up
from billing.payments.calling import RefusedError, UnknownError
from billing.proofs.proving import prove
from tests.billing.payments.refunded import spend
from tests.cast import DOLLAR, make_organization, make_user
from tests.devstack.stripeserver.shop import Shop, visit
from tests.devstack.stripeserver.shop import card as typed
from tests.paying import pay
from tests.waiting import wait_until

CARDS = {
    "pays": "4242424242424242",
    "declined": "4000000000000002",
    "disputed": "4000000000000259",
    "refunds are pending": "4000000000007726",
    "refunds fail": "4000000000005126",
}
ROUTES = [
    "POST /v1/checkout/sessions",
    "GET /v1/checkout/sessions/{id}",
    "GET /v1/checkout/sessions",
    "POST /v1/refunds",
    "GET /v1/refunds/{id}",
    "GET /v1/refunds",
    "GET /v1/disputes/{id}",
    "POST /v1/customers",
]
CALL_FAULTS = ["error_before", "error_after", "cut", "rate_limit", "never"]
WEBHOOK_FAULTS = ["drop", "duplicate", "reorder", "delay", "bad_signature", "stale"]
FAILURES = (RefusedError, UnknownError)
which = st.integers(0, 9)


class Killed(BaseException):
    """The process was."""


def now() -> datetime:
    return datetime.now(UTC)


class Payments(RuleBasedStateMachine):
    shop: ClassVar[Shop]
    staff: ClassVar[User]

    @initialize()
    def begin(self) -> None:
        self.organization = make_organization("Acme")
        self.spent = 0
        self.top_ups: list[int] = []
        for card in ("pays", "refunds fail"):
            self.a_customer_tops_up(25, card, "")
        healing.heal(lambda: now() + timedelta(minutes=10))

    def one(self, number: int, **wanted: Any) -> TopUp | None:
        rows = TopUp.objects.filter(pk__in=self.top_ups, **wanted).select_related("organization", "card", "transaction")
        found = list(rows.order_by("pk"))
        return found[number % len(found)] if found else None

    @rule(
        dollars=st.sampled_from([5, 10, 25]),
        card=st.sampled_from([*CARDS, "pays", "none"]),
        killed=st.sampled_from(["", "", "", "before", "after"]),
    )
    def a_customer_tops_up(self, dollars: int, card: str, killed: str) -> None:
        try:
            begun = topping_up.begin(self.organization, dollars * DOLLAR, actor=None, now=now())
        except topping_up.TooManyError:
            return
        self.top_ups.append(begun.pk)
        if killed == "before":
            return
        with suppress(Killed, *FAILURES), patch.object(settling, "take", **_kill(killed, settling.take)):
            page = topping_up.open_checkout(begun, now=now()).pay_url
            if page and card != "none":
                visit(page, **typed(CARDS[card]))

    @rule(number=which, card=st.sampled_from([*CARDS, "pays", "pays"]))
    def pays_later(self, number: int, card: str) -> None:
        if (top_up := self.one(number)) and top_up.pay_url:
            pay(top_up, CARDS[card])

    @rule(number=which)
    def comes_back(self, number: int) -> None:
        if top_up := self.one(number):
            with suppress(*FAILURES):
                settling.look(top_up, now=now())

    @rule(cents=st.integers(1, 800))
    def uses_the_balance(self, cents: int) -> None:
        spend(self.organization, cents * DOLLAR // 100)
        self.spent += cents * DOLLAR // 100

    @rule(
        number=which,
        cents=st.sampled_from([100, 250, 500, 2500]),
        may_owe=st.booleans(),
        killed=st.sampled_from(["", "", "", "before", "after"]),
    )
    def staff_refund(self, number: int, cents: int, may_owe: bool, killed: str) -> None:
        top_up = self.one(number, state="paid")
        if top_up is None:
            return
        terms: dict[str, Any] = {"reason": "", "actor": self.staff, "may_owe": may_owe, "request_id": uuid4()}
        with suppress(refunding.RefundError):
            begun = refunding.begin(top_up, cents * DOLLAR // 100, now=now(), **terms)
            if killed == "before":
                return
            with suppress(Killed, *FAILURES), patch.object(refunds, "take", **_kill(killed, refunds.take)):
                refunding.send(begun, now=now())

    @rule(number=which, cents=st.sampled_from([100, 250, 500, 2500]))
    def somebody_refunds_in_the_dashboard(self, number: int, cents: int) -> None:
        if intent := self.intent(number):
            with suppress(stripe.StripeError):
                self.shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": cents})

    @rule(number=which)
    def a_bank_disputes(self, number: int) -> None:
        if intent := self.intent(number):
            with suppress(urllib.error.HTTPError):
                self.shop.control("disputes", {"charge": intent.latest_charge})

    @rule(status=st.sampled_from(["won", "lost"]))
    def a_bank_decides(self, status: str) -> None:
        for dispute in self.at_stripe("disputes"):
            if dispute.status == "needs_response":
                self.shop.control("disputes", {"dispute": dispute.id, "status": status})

    @rule(
        route=st.sampled_from(ROUTES),
        call=st.sampled_from(CALL_FAULTS),
        webhook=st.sampled_from([*WEBHOOK_FAULTS, "drop", "drop"]),
        times=st.integers(0, 6),
    )
    def the_network_will_go_wrong(self, route: str, call: str, webhook: str, times: int) -> None:
        self.shop.control("faults", {"fault": call, "route": route})
        if times:
            self.shop.control("faults", {"fault": webhook, "times": times, "seconds": 0.05})

    @rule()
    def healing_comes_by(self) -> None:
        healing.heal(now)

    def intent(self, number: int) -> Any:
        """What paid one of the top-ups, at Stripe, whether we know or not."""
        found = [intent for intent in self.at_stripe("payment_intents") if intent.status == "succeeded"]
        return found[number % len(found)] if found else None

    def at_stripe(self, what: str) -> list[Any]:
        """This organization's there."""
        listed = list(getattr(self.shop.stripe.v1, what).list({"limit": 100}).auto_paging_iter())
        if what == "payment_intents":
            mine = self.organization.public_id
            return [each for each in listed if each.metadata and each.metadata.to_dict().get("organization") == mine]
        intents = {intent.id for intent in self.at_stripe("payment_intents")}
        return [each for each in listed if each.payment_intent in intents]

    def teardown(self) -> None:
        if hasattr(self, "organization"):
            self.shop.control("faults", method="DELETE")
            wait_until(lambda: bool(self.shop.control("quiet")["quiet"]), "all webhooks to be sent")
            # A history takes seconds, and what is looked at again later waits for hours.
            PaymentMark.objects.all().delete()
            for hours in (0, 2, 12, 48, 120):
                healing.heal(lambda hours=hours: now() + timedelta(hours=hours))  # type: ignore[misc]
            PaymentMark.objects.all().delete()
            self.both_sides_agree()

    def both_sides_agree(self) -> None:
        paid = {str(intent.id): intent.amount for intent in self.at_stripe("payment_intents") if _paid(intent)}
        rows = TopUp.objects.filter(organization=self.organization)
        assert {row.payment_intent: row.amount for row in rows.filter(state="paid")} == paid
        assert self.posted("top_up") == sorted(f"top-up:{intent}" for intent in paid)

        back = {str(each.id): each.amount for each in self.at_stripe("refunds") if each.status != "failed"}
        standing = Refund.objects.filter(organization=self.organization).exclude(state="failed")
        assert {row.stripe_id: row.amount for row in standing} == back
        failed = Refund.objects.filter(organization=self.organization, state="failed").exclude(transaction=None)
        names = [f"refund:{row.public_id}" for row in [*standing, *failed]]
        assert self.posted("refund") == sorted([*names, *(f"refund-back:{row.public_id}" for row in failed)])

        disputes = self.at_stripe("disputes")
        won = [f"dispute-back:{each.id}" for each in disputes if each.status == "won"]
        assert self.posted("dispute") == sorted([*won, *(f"dispute:{each.id}" for each in disputes)])
        gone = sum(each.amount for each in disputes if each.status != "won")

        cents = sum(paid.values()) - sum(back.values()) - gone
        balance = Balance.objects.filter(organization=self.organization).first()
        assert (balance.nanos if balance else 0) == cents * DOLLAR // 100 - self.spent
        self.organization.refresh_from_db()
        is_open = Dispute.objects.open().filter(organization=self.organization).exists()
        assert is_open == any(each.status == "needs_response" for each in disputes)
        assert bool(self.organization.suspended_at) == is_open
        # Nobody closes days here.
        assert {result.name for result in prove(now()) if not result.ok} <= {"nothing_stuck"}

    def posted(self, kind: str) -> list[str]:
        mine = LedgerTransaction.objects.filter(organization=self.organization, kind=kind)
        return sorted(mine.values_list("operation_key", flat=True))


def _paid(intent: Any) -> bool:
    return bool(intent.status == "succeeded")


def _kill(killed: str, note: Any) -> dict[str, Any]:
    """How to patch what notes an answer: who asked is killed after the call. Webhooks' threads go on."""

    def die(*args: Any, **kwargs: Any) -> Any:
        if killed == "after" and threading.current_thread() is threading.main_thread():
            raise Killed
        return note(*args, **kwargs)

    return {"side_effect": die}


def explore(shop: Shop, examples: int, steps: int) -> None:
    Payments.shop, Payments.staff = shop, make_user("staff@example.com", is_staff=True)
    run_state_machine_as_test(
        Payments,
        settings=settings(
            settings.default,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # A history of steps as it was found says enough; a shorter one would take minutes to find.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
    assert differences.find(now().date(), now)[1] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_valkey")
def test_both_sides_agree_after_healing(told: Shop) -> None:
    explore(told, examples=6, steps=25)


@pytest.mark.extended
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_valkey")
def test_both_sides_agree_after_healing_of_much(told: Shop) -> None:
    explore(told, examples=80, steps=40)
