"""Whatever happens to the books in whatever order, every proof holds after every step.

Real segments through `post_segment`, twice and late, grants with priorities and expiries, adjustments, corrections of
events and of prices, expiry and closing, over three days. A model beside it knows what the balance must be.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import ApiKey
from billing import closing, correcting, expiry, ledger
from billing.correction_rules import by_rate_card, one_event, otherwise, void
from billing.models import (
    Account,
    Balance,
    CreditGrant,
    LedgerTransaction,
    Segment,
    TransactionKind,
    UsageEvent,
)
from billing.partitions import ensure_partitions, first_id
from billing.posting import post_segment
from billing.prices import NOTICE, publish_prices
from billing.proofs.proving import prove
from billing.rate_card import Priced, rate_card
from billing.rating import charge
from billing.standing import Scope
from billing.superseding import supersede_prices
from billing.tariff import Prices, UnitPrice
from billing.terms import NO_TERMS, change_terms
from hotstate.models import OutboxEntry
from hotstate.records import Terms
from tests.billing.off_peak_times import NIGHTS
from tests.cast import (
    PRICES,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_price_list,
    make_segment,
    raw,
    set_prices,
    usage_line,
)

FIRST = date(2026, 3, 10)
START = datetime(2026, 3, 10, tzinfo=UTC)
DAYS = 3
OTHER_PRICES = {"input_tokens": (7, 2), "output_tokens": (11, 1)}
TIERED = (
    UnitPrice("input_tokens", 5),
    UnitPrice("output_tokens", 9),
    UnitPrice("input_tokens", 8, 3, from_input_tokens=1000),
)

usages = st.fixed_dictionaries({"input_tokens": st.integers(0, 5000), "output_tokens": st.integers(0, 900)})


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.numbers, self.seqs = count(1), count(1)
        self.now = START + timedelta(hours=1)
        self.sent: list[bytes] = []
        # What each event must be charged, and each organization must have, by pk.
        self.charges: dict[str, int] = {}
        self.owners: dict[str, int] = {}
        self.others: dict[int, int] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        ensure_partitions(FIRST, behind=0, ahead=DAYS)
        self.model = make_model()
        self.keys: list[ApiKey] = [make_key(make_organization(name))[0] for name in ("Acme", "Globex")]
        self.others = {key.organization_id: 0 for key in self.keys}
        self.price_list = make_price_list()
        set_prices(self.model, TIERED, price_list=self.price_list, effective_from=START)
        self.terms: list[list[tuple[datetime, Terms]]] = [[], []]

    @rule(hours=st.integers(1, 20))
    def time_passes(self, hours: int) -> None:
        self.now = min(self.now + timedelta(hours=hours), START + timedelta(days=DAYS, hours=-1))

    @rule(whose=st.integers(0, 1), usage=st.lists(usages, min_size=1, max_size=4), ago=st.integers(0, 60))
    def usage_comes(self, whose: int, usage: list[dict[str, int]], ago: int) -> None:
        """On time or late, for a day that may be closed."""
        at = max(START, self.now - timedelta(hours=ago))
        lines = []
        for units in usage:
            line = usage_line(self.keys[whose], at=at, seq=next(self.seqs), usage=units)
            lines.append(line)
            self.charges[line["id"]] = charge(units, *self._priced(whose, at))
            self.owners[line["id"]] = self.keys[whose].organization_id
        self.sent.append(raw(*lines))
        self._post(self.sent[-1])

    def _priced(self, whose: int, at: datetime) -> Priced:
        """By the terms as this test remembers them: the latest that have begun."""
        begun = [terms for starts, terms in self.terms[whose] if starts <= at]
        found = rate_card([self.model.pk]).tariff(self.model.pk, at, begun[-1] if begun else NO_TERMS)
        assert found
        return found

    @rule(whose=st.integers(0, 1), discount=st.none() | st.integers(0, 10_000), own=st.booleans())
    def terms_change(self, whose: int, discount: int | None, own: bool) -> None:
        price_list = self.price_list if own else None
        change_terms(
            self.keys[whose].organization,
            now=self.now,
            actor=None,
            reason="x",
            own_discount_bp=discount,
            own_price_list=price_list,
        )
        terms = Terms(effective_ms=0, own_list=price_list.pk if price_list else None, own_discount_bp=discount)
        self.terms[whose].append((self.now + NOTICE, terms))

    @rule(prices=st.sampled_from([PRICES, OTHER_PRICES, TIERED]), own=st.booleans(), nights=st.booleans())
    def prices_change(self, prices: Prices, own: bool, nights: bool) -> None:
        publish_prices(
            self.model,
            prices,
            effective_from=None,
            actor=None,
            reason="x",
            now=self.now,
            price_list=self.price_list if own else None,
            off_peak=[NIGHTS] if nights else [],
        )

    def _post(self, content: bytes) -> None:
        assert post_segment(make_segment(content, now=self.now).pk, now=self.now)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), both=st.booleans())
    def usage_comes_again(self, data: st.DataObject, both: bool) -> None:
        """In a segment of its own, or with what came beside it then and a line that is torn."""
        content = data.draw(st.sampled_from(self.sent))
        self._post(content + (data.draw(st.sampled_from(self.sent)) + b'{"v":1,"id' if both else b""))

    @rule(
        whose=st.integers(0, 1),
        nanos=st.integers(1, 10**8),
        priority=st.integers(0, 3),
        lasts=st.none() | st.integers(1, 40),
    )
    def credit_is_given(self, whose: int, nanos: int, priority: int, lasts: int | None) -> None:
        organization = self.keys[whose].organization
        expires_at = self.now + timedelta(hours=lasts) if lasts else None
        name = str(next(self.numbers))
        give_credit(organization, nanos, key=name, priority=priority, expires_at=expires_at, now=self.now)
        self.others[organization.pk] += nanos

    @rule(whose=st.integers(0, 1), nanos=st.integers(1, 10**7))
    def money_is_taken(self, whose: int, nanos: int) -> None:
        organization_id = self.keys[whose].organization_id
        movement = ledger.Movement(
            operation_key=f"adjustment:{next(self.numbers)}",
            kind=TransactionKind.ADJUSTMENT,
            organization_id=organization_id,
            nanos=-nanos,
            counter=Account.PROMOTIONS,
            event_day=self.now.date(),
        )
        ledger.post([movement], now=self.now)
        self.others[organization_id] -= nanos

    @rule()
    def credit_expires(self) -> None:
        lost = CreditGrant.objects.filter(expires_at__lte=self.now)
        for organization_id, nanos in lost.values_list("organization_id", "remaining_nanos"):
            self.others[organization_id] -= nanos
        expiry.expire_grants(self.now)
        assert expiry.expire_grants(self.now) == 0

    @precondition(lambda self: self.charges)
    @rule(data=st.data(), usage=st.none() | usages)
    def an_event_is_corrected(self, data: st.DataObject, usage: dict[str, int] | None) -> None:
        event = UsageEvent.objects.get(pk=data.draw(st.sampled_from(sorted(self.charges))))
        self._correct(one_event(event.pk), void if usage is None else otherwise(usage=usage))
        corrected = self._standing(event)
        assert usage is not None or corrected == 0
        self.charges[str(event.pk)] = corrected

    @precondition(lambda self: self.now >= START + timedelta(hours=3))
    @rule(hours=st.integers(1, 30), prices=st.sampled_from([PRICES, OTHER_PRICES, TIERED]), own=st.booleans())
    def prices_of_the_past_are_corrected(self, hours: int, prices: Prices, own: bool) -> None:
        since = max(START, self.now - timedelta(hours=hours))
        until = self.now - timedelta(hours=1)
        if since >= until:
            return
        price_list = self.price_list if own else None
        supersede_prices(
            self.model, prices, since, until, actor=None, reason="wrong", now=self.now, price_list=price_list
        )
        before = dict(self._events())
        self._correct(
            Scope(first_id(FIRST), first_id(FIRST + timedelta(days=DAYS + 1)), self.model.pk),
            by_rate_card(rate_card([self.model.pk])),
        )
        for pk, event in before.items():
            self.charges[pk] = self._standing(event)

    def _events(self) -> list[tuple[str, UsageEvent]]:
        return [(str(event.pk), event) for event in UsageEvent.objects.all()]

    def _correct(self, scope: Scope, rule: correcting.Rule) -> None:
        fields: dict[str, Any] = {"what": "x", "reason": "y", "actor": None, "clock": lambda: self.now}
        expected = correcting.preview(scope, rule)
        assert correcting.correct(scope, rule, **fields) == expected
        assert correcting.correct(scope, rule, **fields) == {}

    def _standing(self, event: UsageEvent) -> int:
        """What the event costs now by its own rows: re-rating proves each of them."""
        from billing.models import EventCorrection

        latest = EventCorrection.objects.filter(event_id=event.pk).order_by("-number").first()
        return latest.new_charge_nanos if latest else event.charge_nanos

    @rule()
    def days_are_closed(self) -> None:
        for offset in range(DAYS):
            day = FIRST + timedelta(days=offset)
            if closing.end_of(day) <= self.now:
                closing.close_day(day, self.now)

    @invariant()
    def every_proof_holds(self) -> None:
        OutboxEntry.objects.all().delete()
        # Late in the day, so that nothing is too fresh to be a gap.
        found = prove(self.now + timedelta(minutes=20))
        # Days wait to be closed, and credit to expire, for as long as no step does it.
        wrong = [result for result in found if not result.ok and result.name != "nothing_stuck"]
        assert wrong == []

    @invariant()
    def balances_are_what_was_given_less_what_was_used(self) -> None:
        if not hasattr(self, "keys"):
            return
        expected = dict(self.others)
        for pk, nanos in self.charges.items():
            expected[self.owners[pk]] -= nanos
        balances = dict(Balance.objects.values_list("organization_id", "nanos"))
        assert {pk: balances.get(pk, 0) for pk in expected} == expected

    @invariant()
    def each_event_is_there_once(self) -> None:
        assert {str(pk) for pk in UsageEvent.objects.values_list("pk", flat=True)} == set(self.charges)
        for segment in Segment.objects.all():
            assert segment.lines == segment.new + segment.duplicate + segment.quarantined
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        keys = list(LedgerTransaction.objects.values_list("operation_key", flat=True))
        assert len(keys) == len(set(keys))


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Books,
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


@pytest.mark.django_db
def test_every_proof_holds_after_every_step() -> None:
    explore(examples=5, steps=15)


@pytest.mark.extended
@pytest.mark.timeout(1800)
@pytest.mark.django_db
def test_every_proof_holds_after_every_step_of_many() -> None:
    explore(examples=120, steps=40)
