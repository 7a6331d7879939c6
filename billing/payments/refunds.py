"""What has become of refunds, ours and those made at Stripe: all that hear of one end here, and post it once."""

from datetime import datetime, timedelta

from accounts.models import alarm
from billing import ledger
from billing.models import NoticeKind, Refund, TopUp, TransactionKind
from billing.notices.giving import News, give
from billing.payments import payers, taking_back
from billing.payments.calling import calling, if_there
from billing.payments.currencies import nanos_of
from billing.payments.seen_back import SeenRefund

SOONEST, LATEST = timedelta(minutes=5), timedelta(hours=6)
"""How long until one on its way is looked at again: the longer, the older it is."""

LOST_AFTER = timedelta(hours=1)
"""One that Stripe doesn't know so long after it was asked for was never made."""

MAY_FAIL = timedelta(days=60)
"""A bank can send back what was refunded for some weeks."""

State = Refund.State


def hear(refund_id: str, *, now: datetime) -> str:
    """Somebody says that something happened to it: look. Returns what came of it, in a word or two.

    Raises RefusedError and UnknownError.
    """
    seen = fetch(refund_id)
    if seen is None:
        return "ignored: not there"
    top_up = payers.paid_top_up(seen.payment_intent, now=now)
    if top_up is None:
        return "ignored: not ours"
    refund = take(top_up, seen, now=now)
    return refund.state if refund else "ignored: nothing moved"


def look(refund: Refund, *, now: datetime) -> Refund:
    """What has become of it, as Stripe says now. Raises RefusedError and UnknownError."""
    seen = fetch(refund.stripe_id) if refund.stripe_id else _search(refund)
    if seen is not None:
        return take(refund.top_up, seen, now=now) or refund
    return _missing(refund, now=now)


def take(top_up: TopUp, seen: SeenRefund, *, now: datetime) -> Refund | None:
    """Note what was seen of a refund of this payment, and post what it moves. Committed when this returns.

    None where nothing is to be noted: it failed before anybody heard of it, or doesn't fit.
    """
    with payers.held(top_up) as mine:
        return note(mine, seen, now)


def note(top_up: TopUp, seen: SeenRefund, now: datetime) -> Refund | None:
    """As `take`, in a transaction that holds the payment: `payers.locked`."""
    refund = _row(top_up, seen)
    if differences := seen.differences(top_up):
        _trouble(top_up, seen, differences, now)
        return refund
    if refund is None:
        if seen.state == State.FAILED:
            return None
        refund = _made_at_stripe(top_up, seen, now)
    refund.stripe_id, refund.looked_at = seen.id, now
    if seen.amount != refund.amount:
        _trouble(top_up, seen, [f"amount is {seen.amount!r}, not {refund.amount!r}"], now)
    # What failed stays so: another word of it is older.
    if seen.state == State.FAILED and refund.state != State.FAILED:
        _give_back(refund, top_up, "The bank sent it back.", now)
    elif refund.state != State.FAILED:
        refund.state = seen.state
        _tell(refund, top_up, "refunded", refund.public_id, now)
    refund.look_at = _look_at(refund, now)
    refund.save()
    return refund


def give_up(refund: Refund, why: str, *, now: datetime) -> Refund:
    """It wasn't made and won't be: what it took goes back. Nothing, where Stripe knows it after all."""
    with payers.held(refund.top_up) as mine:
        found = Refund.objects.select_for_update().get(pk=refund.pk)
        if found.state == State.ASKED and not found.stripe_id:
            _give_back(found, mine, why, now)
            found.save()
        return found


def taken(refund: Refund, top_up: TopUp, now: datetime) -> ledger.Movement:
    """What it takes from the balance. The caller holds `payers.locked`."""
    return taking_back.taken(
        f"refund:{refund.public_id}",
        TransactionKind.REFUND,
        top_up,
        refund.nanos,
        reason=f"Refund of top-up {top_up.public_id}",
        actor_id=refund.actor_id,
        now=now,
    )


def _row(top_up: TopUp, seen: SeenRefund) -> Refund | None:
    """Of that refund, or ours that waits to hear of it."""
    mine = Refund.objects.filter(top_up=top_up)
    waiting = mine.filter(public_id=seen.reference, stripe_id=None, state=State.ASKED)
    return mine.filter(stripe_id=seen.id).first() or waiting.first()


def _made_at_stripe(top_up: TopUp, seen: SeenRefund, now: datetime) -> Refund:
    refund = Refund(
        top_up=top_up,
        organization=top_up.organization,
        state=seen.state,
        amount=seen.amount,
        nanos=nanos_of(seen.amount, seen.currency),
        stripe_id=seen.id,
        created_at=min(seen.created, now),
        reason="Made at Stripe",
    )
    movement = taken(refund, top_up, now)
    refund.transaction_id = ledger.post([movement], now=now).transactions[movement.operation_key]
    return refund


def _give_back(refund: Refund, top_up: TopUp, why: str, now: datetime) -> None:
    """In the caller's transaction, who saves the row. Members who were told of it are told."""
    announced = refund.state in (State.PENDING, State.DONE)
    refund.state, refund.why, refund.look_at = State.FAILED, why[:300], None
    if refund.transaction_id is None or refund.returned_id is not None:
        return
    movement = taking_back.given_back(
        f"refund-back:{refund.public_id}",
        TransactionKind.REFUND,
        top_up,
        refund.nanos,
        takes=refund.transaction_id,
        reason=f"Refund of top-up {top_up.public_id} failed",
        now=now,
    )
    refund.returned_id = ledger.post([movement], now=now).transactions[movement.operation_key]
    detail = f"{refund.public_id} of top-up {top_up.public_id}: {why} The balance has it again."
    told = "Members are told." if announced else "They weren't told of it."
    alarm.raise_alarm("refund_failed", refund.public_id, f"{detail} {told}", now=now)
    if announced:
        _tell(refund, top_up, "failed", f"{refund.public_id}:failed", now)


def _tell(refund: Refund, top_up: TopUp, event: str, subject: str, now: datetime) -> None:
    facts = {
        "event": event,
        "top_up": top_up.public_id,
        "nanos": refund.nanos,
        "currency": top_up.currency.upper(),
    }
    give([News(top_up.organization_id, NoticeKind.REFUND, subject, facts)], now=now)


def _missing(refund: Refund, *, now: datetime) -> Refund:
    if refund.stripe_id is None and now - refund.created_at >= LOST_AFTER:
        return give_up(refund, "Stripe never got it.", now=now)
    waiting = Refund.objects.filter(pk=refund.pk, stripe_id=refund.stripe_id)
    waiting.update(looked_at=now, look_at=_look_at(refund, now))
    refund.refresh_from_db()
    return refund


def _look_at(refund: Refund, now: datetime) -> datetime | None:
    age = now - refund.created_at
    if refund.state == State.FAILED or age > MAY_FAIL:
        return None
    longest = timedelta(days=3) if refund.state == State.DONE else LATEST
    return now + min(max(age // 2, SOONEST), longest)


def _trouble(top_up: TopUp, seen: SeenRefund, differences: list[str], now: datetime) -> None:
    detail = f"Refund {seen.id} of top-up {top_up.public_id}, at Stripe: {'; '.join(differences)}. It wasn't posted so."
    alarm.raise_alarm("payment_differs", seen.id, detail, now=now)


def fetch(refund_id: str) -> SeenRefund | None:
    """A refund as it is now; None where there is none of that id."""
    return if_there("refunds.retrieve", lambda stripe: SeenRefund.of(stripe.refunds.retrieve(refund_id)))


def _search(refund: Refund) -> SeenRefund | None:
    """One of which nobody knows whether it was made. A payment has few."""
    with calling("refunds.list") as stripe:
        listed = stripe.refunds.list({"payment_intent": str(refund.top_up.payment_intent), "limit": 100})
        found = (SeenRefund.of(each) for each in listed.auto_paging_iter())
        return next((seen for seen in found if seen.reference == refund.public_id), None)
