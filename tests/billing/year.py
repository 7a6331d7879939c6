"""A year of a vendor with fifty customers: what happens by day, drawn by lot, always the same lots."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from accounts.models import ApiKey, Organization, User
from billing import adjustments
from billing.correcting import correct
from billing.correction_rules import one_event, otherwise, void
from billing.models import Balance, PlanVersion, Segment, UsageEvent
from billing.partitions import detach_old, ensure_partitions
from billing.plans import choosing, ending, offering
from billing.plans.errors import PlanError
from billing.posting import post_segment
from billing.prices import publish_prices
from billing.signup import grant_starting_balance
from catalog.models import Model
from tests.cast import (
    DOLLAR,
    PRICES,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    make_user,
    raw,
    usage_line,
)

FIRST = date(2028, 1, 1)
"""Of a leap year."""
CUSTOMERS = 50
# Days of events that stay attached; older ones are proved by what their days were closed with.
KEPT = 2


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), UTC)


@dataclass
class Customer:
    organization: Organization
    owner: User
    keys: list[ApiKey]
    # Whether it tops up when its balance is low; the others' plans lapse one day.
    pays: bool


@dataclass
class World:
    """`requests` counts the requests that were made, however often their lines came."""

    lots: Random = field(default_factory=lambda: Random(5))
    customers: list[Customer] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    plans: list[PlanVersion] = field(default_factory=list)
    requests: int = 0
    _seq: int = 0
    _last: bytes = b""

    def begin(self) -> None:
        self.models = [make_model(f"model-{number}") for number in range(4)]
        for slug, period, fee, credit, more in (
            ("small", "month", 5, 3, {}),
            ("large", "month", 20, 15, {"rolls_over": True, "discount_bp": 1000}),
            ("year", "year", 40, 20, {}),
        ):
            offer = offering.Offer(
                period=PlanVersion.Period(period),
                fee_nanos=fee * DOLLAR,
                included_credit_nanos=credit * DOLLAR,
                **more,  # type: ignore[arg-type]
            )
            version = offering.create_plan(slug, slug, offer, public=True, actor=None, reason="", now=at(FIRST, 0))
            self.plans.append(version)

    def day(self, day: date) -> None:
        """All that happens on a day before its night is over."""
        ensure_partitions(day, behind=0, ahead=1)
        detach_old(day, keep_days=KEPT)
        for _ in range(2):
            if len(self.customers) < CUSTOMERS:
                self._sign_up(at(day, 8))
        for customer in self.customers:
            self._act(customer, at(day, 9))
        if day.day == 5:
            self._change_a_price(at(day, 10))
        self._use(day)
        if self.lots.random() < 0.15:
            self._correct(at(day, 15))

    def _sign_up(self, now: datetime) -> None:
        number = len(self.customers)
        owner = make_user(f"owner-{number}@example.com")
        organization = make_organization(f"Customer {number}", owner=owner, now=now)
        grant_starting_balance(organization, now=now)
        keys = [make_key(organization, name=f"key {key}", now=now)[0] for key in range(1 + number % 2)]
        self.customers.append(Customer(organization, owner, keys, pays=number % 5 != 0))

    def _act(self, customer: Customer, now: datetime) -> None:
        """Top up, take a plan or leave it; now and then something of staff's."""
        lot = self.lots.random()
        if lot < 0.03 and customer.pays:
            self._credit(customer, now)
        elif lot < 0.055:
            self._plan(customer, now)
        elif lot < 0.058:
            expires_at = now + timedelta(days=self.lots.choice((3, 20, 45)))
            give_credit(customer.organization, DOLLAR, key=f"promotion {now}", expires_at=expires_at, now=now)
        elif lot < 0.06:
            nanos = self.lots.choice((-1, 1)) * self.lots.randrange(1, DOLLAR)
            adjustments.adjust_balance(
                customer.organization, nanos, reason="By lot", actor=customer.owner, now=now, operation_id=str(now)
            )

    def _credit(self, customer: Customer, now: datetime) -> None:
        nanos = self.lots.randrange(10, 40) * DOLLAR
        give_credit(customer.organization, nanos, key=f"credit:{customer.organization.pk}:{now}", now=now)

    def _plan(self, customer: Customer, now: datetime) -> None:
        terms: dict[str, Any] = {"actor": customer.owner, "now": now}
        version = self.lots.choice(self.plans)
        what = self.lots.choice(("now", "now", "end", "cancel", "cancel at end", "keep"))
        organization = customer.organization
        try:
            if what == "now":
                choosing.choose(organization, version, **terms)
            elif what == "end":
                choosing.choose_at_end(organization, version, **terms)
            elif what == "cancel":
                ending.cancel_now(organization, **terms)
            elif what == "cancel at end":
                ending.cancel_at_end(organization, **terms)
            else:
                choosing.keep(organization, **terms)
        except PlanError:
            # No plan to change, or not enough money.
            return

    def _change_a_price(self, now: datetime) -> None:
        dollars = self.lots.randrange(1, 9)
        prices = {**PRICES, "input_tokens": (dollars * DOLLAR, 10**6)}
        publish_prices(
            self.lots.choice(self.models),
            prices,
            effective_from=now + timedelta(days=3),
            actor=None,
            reason="By lot",
            now=now,
        )

    def _use(self, day: date) -> None:
        """One segment a day; now and then with lines of days before, and now and then the last one again."""
        lines = []
        for customer in self.lots.sample(self.customers, min(4, len(self.customers))):
            late = timedelta(days=self.lots.choice((0,) * 12 + (1, 2)))
            moment = at(day, 10, self.lots.randrange(60)) - late
            if moment >= customer.organization.created_at and moment.date() >= FIRST:
                lines.append(self._line(customer, moment))
        content = raw(*lines)
        self.requests += len(lines)
        self._post(content, at(day, 12))
        if self.lots.random() < 0.05 and self._last:
            self._post(self._last, at(day, 13))
        self._last = content

    def _line(self, customer: Customer, moment: datetime) -> dict[str, Any]:
        self._seq += 1
        usage = {"input_tokens": self.lots.randrange(10_000, 200_000), "output_tokens": self.lots.randrange(5_000)}
        model = self.lots.choice(self.models).public_id
        return usage_line(self.lots.choice(customer.keys), model, at=moment, seq=self._seq, usage=usage)

    def _post(self, content: bytes, now: datetime) -> Segment | None:
        return post_segment(make_segment(content, now=now).pk, now=now)

    def _correct(self, now: datetime) -> None:
        events = list(UsageEvent.objects.filter(time__lte=now).order_by("id").values_list("pk", flat=True))
        if events:
            fewer = otherwise(usage={"input_tokens": self.lots.randrange(10_000)})
            rule = self.lots.choice((void, fewer))
            one = one_event(self.lots.choice(events))
            correct(one, rule, what="By lot", reason="Counted wrongly", actor=None, clock=lambda: now)


def balances() -> dict[int, int]:
    return dict(Balance.objects.values_list("organization_id", "nanos"))
