"""Both sides of a day: what Stripe has of payments, refunds and disputes, and what our rows say of the same.

What was made at Stripe on that day is looked for here, and what was settled here on that day is looked for there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TypeVar

import stripe as stripe_library
from django.conf import settings
from django.db.models import QuerySet

from billing.models import Dispute, PaymentDifference, Refund, TopUp
from billing.payments import disputes, finding, refunds
from billing.payments.calling import calling, if_there, livemode
from billing.payments.seen import told
from billing.payments.seen_back import SeenDispute, SeenRefund

Kind = PaymentDifference.Kind
T = TypeVar("T")
BATCH = 100
NOTHING = "At Stripe there is none such"


@dataclass(frozen=True)
class Compared:
    """One object on both sides; `what` is empty where they agree. `top_up` is its payment's, if there is one here."""

    kind: Kind
    stripe_id: str
    top_up: TopUp | None
    what: str = ""


@dataclass(frozen=True)
class _Paid:
    """As much of a PaymentIntent as is compared."""

    id: str
    reference: str
    succeeded: bool
    received: int
    currency: str

    @classmethod
    def of(cls, intent: stripe_library.PaymentIntent) -> "_Paid":
        received = intent.amount_received or 0
        return cls(intent.id, told(intent.metadata, "top_up"), intent.status == "succeeded", received, intent.currency)


def compare(day: date, tell: Callable[[int], None] = lambda _: None) -> Iterator[Compared]:
    """Everything of a UTC day. Raises RefusedError and UnknownError. `tell` hears how much was compared."""
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    until = since + timedelta(days=1)
    count = 0
    for found in (_payments(since, until), _refunds(since, until), _disputes(since, until)):
        for compared in found:
            count += 1
            if count % BATCH == 0:
                tell(count)
            yield compared


def again(kind: str, stripe_id: str, top_up: TopUp | None) -> Compared:
    """One object, as both sides are now. Raises RefusedError and UnknownError."""
    if kind == Kind.REFUND:
        seen = refunds.fetch(stripe_id)
        return _refund(seen) if seen else _gone(Kind.REFUND, stripe_id, top_up)
    if kind == Kind.DISPUTE:
        seen_dispute = disputes.fetch(stripe_id)
        return _dispute(seen_dispute) if seen_dispute else _gone(Kind.DISPUTE, stripe_id, top_up)
    paid = _intent(stripe_id)
    return _payment(paid, _top_ups([paid])) if paid else _gone(Kind.PAYMENT, stripe_id, top_up)


def _payments(since: datetime, until: datetime) -> Iterator[Compared]:
    met: set[str] = set()
    with calling("payment_intents.list") as stripe:
        listed = stripe.payment_intents.list({"created": finding.between(since, until), "limit": BATCH})
        intents = listed.auto_paging_iter()
        # What isn't of a top-up is somebody else's business.
        while batch := [_Paid.of(intent) for intent in islice(intents, BATCH)]:
            ours = [paid for paid in batch if paid.reference]
            here = _top_ups(ours)
            met.update(paid.id for paid in ours)
            yield from (_payment(paid, here) for paid in ours)
    for top_up in _mine(TopUp.objects.filter(paid_at__gte=since, paid_at__lt=until)).iterator():
        # One that was begun the day before is made the day before at Stripe.
        if str(top_up.payment_intent) not in met:
            yield again(Kind.PAYMENT, str(top_up.payment_intent), top_up)


def _refunds(since: datetime, until: datetime) -> Iterator[Compared]:
    made = finding.refunds_made(since, until)
    yield from (_refund(seen) for seen in made)
    met = {seen.id for seen in made}
    rows = Refund.objects.filter(created_at__gte=since, created_at__lt=until, top_up__in=_mine(TopUp.objects.all()))
    for row in rows.exclude(stripe_id=None).select_related("top_up").iterator():
        if row.stripe_id not in met:
            yield again(Kind.REFUND, str(row.stripe_id), row.top_up)


def _disputes(since: datetime, until: datetime) -> Iterator[Compared]:
    made = finding.disputes_made(since, until)
    yield from (_dispute(seen) for seen in made)
    met = {seen.id for seen in made}
    rows = Dispute.objects.filter(opened_at__gte=since, opened_at__lt=until, top_up__in=_mine(TopUp.objects.all()))
    for row in rows.select_related("top_up").iterator():
        if row.stripe_id not in met:
            yield again(Kind.DISPUTE, row.stripe_id, row.top_up)


def _payment(paid: _Paid, here: dict[str, TopUp]) -> Compared:
    top_up = here.get(paid.reference) or here.get(paid.id)
    credited = top_up is not None and top_up.state == TopUp.State.PAID and top_up.payment_intent == paid.id
    what = ""
    if paid.succeeded and top_up is None:
        what = f"At Stripe {paid.received} {paid.currency} were paid, and here is no top-up {paid.reference}"
    elif paid.succeeded and not credited:
        what = f"At Stripe {paid.received} {paid.currency} were paid, and here nothing is credited"
    elif top_up is not None and credited and not paid.succeeded:
        what = f"At Stripe it isn't paid, and here {top_up.amount} {top_up.currency} are credited"
    elif top_up is not None and credited and (paid.received, paid.currency) != (top_up.amount, top_up.currency):
        there = f"At Stripe {paid.received} {paid.currency} were paid"
        what = f"{there}, and here {top_up.amount} {top_up.currency} are credited"
    return Compared(Kind.PAYMENT, paid.id, top_up, what)


def _refund(seen: SeenRefund) -> Compared:
    row = Refund.objects.filter(stripe_id=seen.id).select_related("top_up").first()
    top_up = row.top_up if row else _payer(seen.payment_intent)
    stands = seen.state != Refund.State.FAILED
    what = ""
    if row is None:
        if stands and top_up is not None:
            what = f"At Stripe {seen.amount} {seen.currency} are refunded, and here nothing is taken"
    elif row.amount != seen.amount:
        what = f"At Stripe {seen.amount} {seen.currency} are refunded, and here {row.amount}"
    elif row.stands != stands:
        what = f"At Stripe it is {seen.status}, and here {row.get_state_display().lower()}"
    return Compared(Kind.REFUND, seen.id, top_up, what)


def _dispute(seen: SeenDispute) -> Compared:
    row = Dispute.objects.filter(stripe_id=seen.id).select_related("top_up").first()
    top_up = row.top_up if row else _payer(seen.payment_intent)
    stands = seen.withdrawn and not seen.reinstated
    what = ""
    if row is None:
        if top_up is not None:
            what = f"At Stripe there is a dispute about {seen.amount} {seen.currency}, and here none"
    elif row.amount != seen.amount:
        what = f"At Stripe {seen.amount} {seen.currency} are disputed, and here {row.amount}"
    elif row.stands != stands or bool(row.closed_at) != seen.closed:
        there, here = _standing(seen.status, stands=stands), _standing(row.status, stands=row.stands)
        what = f"At Stripe it is {there}, and here {here}"
    return Compared(Kind.DISPUTE, seen.id, top_up, what)


def _standing(status: str, *, stands: bool) -> str:
    return f"{status.replace('_', ' ')} and the money {'taken' if stands else 'not taken, or given back'}"


def _gone(kind: Kind, stripe_id: str, top_up: TopUp | None) -> Compared:
    return Compared(kind, stripe_id, top_up, NOTHING)


def _payer(payment_intent: str) -> TopUp | None:
    """Whose payment it was, where it was credited: what wasn't has nothing to give back."""
    mine = _mine(TopUp.objects.filter(state=TopUp.State.PAID))
    return mine.filter(payment_intent=payment_intent).first() if payment_intent else None


def _top_ups(paid: Iterable[_Paid]) -> dict[str, TopUp]:
    """Those that these are of, by our reference and by the payment that they know of."""
    paid = list(paid)
    rows = _mine(TopUp.objects.all())
    named = rows.filter(public_id__in=[each.reference for each in paid])
    known = rows.filter(payment_intent__in=[each.id for each in paid])
    return {**{str(row.payment_intent): row for row in known}, **{row.public_id: row for row in named}}


def _mine(rows: QuerySet[TopUp]) -> QuerySet[TopUp]:
    return rows.filter(account=settings.STRIPE_ACCOUNT, livemode=livemode())


def _intent(intent_id: str) -> _Paid | None:
    return if_there("payment_intents.retrieve", lambda stripe: _Paid.of(stripe.payment_intents.retrieve(intent_id)))
