"""Refunds: our row and what it takes from the balance first, committed; then Stripe is asked. Staff ask for them."""

from datetime import datetime
from uuid import UUID

from django.db.models import Sum

from accounts.models import User, audit
from billing.models import Refund, TopUp
from billing.payments import payers, refunds
from billing.payments.calling import RefusedError, UnknownError, calling, ours
from billing.payments.currencies import FractionError, nanos_of, nanos_per_unit, smallest_units
from billing.payments.seen_back import SeenRefund
from billing.plans.errors import PlanError
from billing.plans.paying import Till, carry_out

WORDS = {
    "charge_already_refunded": "Stripe says that all of it was refunded before.",
    "charge_disputed": "Stripe refuses it: a bank has taken the payment back.",
    "insufficient_funds": "The balance at Stripe doesn't cover it. Add to it there, or wait for payments.",
}


class RefundError(ValueError):
    """It can't be refunded so; the message says why. Nothing has changed."""


def left(top_up: TopUp) -> int:
    """Nano-dollars of a payment that are neither refunded nor taken back by a bank."""
    refunded = top_up.refunds.exclude(state=Refund.State.FAILED).aggregate(nanos=Sum("nanos"))["nanos"] or 0
    disputed = top_up.disputes.filter(withdrawn__isnull=False, reinstated=None).aggregate(nanos=Sum("nanos"))
    return max(top_up.nanos - refunded - (disputed["nanos"] or 0), 0)


def unspent(top_up: TopUp) -> int:
    """Nano-dollars that can be refunded without a debt: what is left of the credit it brought, in whole units."""
    remaining = top_up.transaction.grant.remaining_nanos if top_up.transaction else 0
    whole = remaining - remaining % nanos_per_unit(top_up.currency)
    return min(whole, left(top_up))


def begin(
    top_up: TopUp, nanos: int, *, reason: str, actor: User, may_owe: bool, request_id: UUID, now: datetime
) -> Refund:
    """Write down what is to be refunded and take it from the balance. The same `request_id` is one refund.

    More than is unspent only where it `may_owe`. Raises RefundError.
    """

    def work(till: Till) -> Refund:
        mine = payers.locked(top_up)
        if before := Refund.objects.filter(request_id=request_id).first():
            if before.top_up_id != mine.pk:
                raise RefundError("This form was of another payment. Load the page again.")
            return before
        amount = _check(mine, nanos, may_owe=may_owe)
        refund = Refund(
            top_up=mine,
            organization=mine.organization,
            actor=actor,
            request_id=request_id,
            amount=amount,
            nanos=nanos,
            reason=reason[:300],
            created_at=now,
            look_at=now + refunds.SOONEST,
        )
        movement = refunds.taken(refund, mine, now)
        # What running requests hold isn't unspent.
        posted = till.post([movement], needed_nanos=0 if may_owe else nanos, now=now)
        refund.transaction_id = posted.transactions[movement.operation_key]
        refund.save(force_insert=True)
        after = {"refund": refund.public_id, "nanos": nanos, "may_owe": may_owe}
        audit.record(
            "payment.refund",
            mine.public_id,
            actor=actor,
            organization=mine.organization,
            after=after,
            reason=reason,
            now=now,
        )
        return refund

    try:
        return carry_out(top_up.organization_id, work)
    except PlanError as error:
        raise RefundError(str(error)) from error


def send(refund: Refund, *, now: datetime) -> Refund:
    """Ask Stripe for it. What is unknown is looked up, and never asked for again.

    Raises UnknownError, and RefusedError once it has given back what it took.
    """
    if refund.stripe_id or refund.state != Refund.State.ASKED:
        return refund
    try:
        seen = _create(refund)
    except UnknownError:
        found = refunds.look(refund, now=now)
        if found.state == Refund.State.ASKED:
            raise
        return found
    except RefusedError as error:
        why = "Stripe is busy: try again." if error.temporary else WORDS.get(error.code, f"{error}.")
        refunds.give_up(refund, why, now=now)
        raise
    return refunds.take(refund.top_up, seen, now=now) or refund


def _check(top_up: TopUp, nanos: int, *, may_owe: bool) -> int:
    """The amount in the smallest unit, where so much can be refunded."""
    if top_up.state != TopUp.State.PAID or not ours(top_up):
        raise RefundError("Only what was paid can be refunded, with the key of the account and mode it was paid in.")
    if top_up.disputes.open().exclude(status__startswith="warning").exists():
        raise RefundError("A bank disputes this payment. Until that is decided Stripe refunds nothing of it.")
    try:
        amount = smallest_units(nanos, top_up.currency)
    except FractionError:
        raise RefundError("Choose whole cents.") from None
    if not 0 < nanos <= left(top_up):
        raise RefundError(f"Of this payment {_dollars(left(top_up))} can be refunded.")
    if nanos > unspent(top_up) and not may_owe:
        raise RefundError(
            f"Of its credit {_dollars(unspent(top_up))} are unspent. More can leave a debt: say that it may."
        )
    return amount


def _dollars(nanos: int) -> str:
    cents = nanos // nanos_of(1, "usd")
    return f"${cents // 100:,}.{cents % 100:02d}"


def _create(refund: Refund) -> SeenRefund:
    metadata = {"refund": refund.public_id, "organization": refund.organization.public_id}
    with calling("refunds.create") as stripe:
        made = stripe.refunds.create(
            {
                "payment_intent": str(refund.top_up.payment_intent),
                "amount": refund.amount,
                "reason": "requested_by_customer",
                "metadata": metadata,
            },
            {"idempotency_key": f"keymeter:{refund.public_id}"},
        )
    return SeenRefund.of(made)
