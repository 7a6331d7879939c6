"""Disputes: a bank takes a payment back, or asks about it. All that hear of one end here, and post it once.

Events come in any order, so only what Stripe says now counts: whether the money was taken, whether it was given back,
whether anything is still to be decided.
"""

from datetime import datetime, timedelta

from accounts import organizations
from accounts.models import alarm
from billing import ledger
from billing.models import Dispute, NoticeKind, TopUp, TransactionKind
from billing.notices.giving import News, give
from billing.payments import payers, taking_back
from billing.payments.calling import if_there
from billing.payments.currencies import nanos_of
from billing.payments.seen_back import SeenDispute

SOONEST, LATEST = timedelta(minutes=30), timedelta(hours=12)


def hear(dispute_id: str, *, now: datetime) -> str:
    """Somebody says that something happened to it: look. Returns what came of it, in a word or two.

    Raises RefusedError and UnknownError.
    """
    seen = fetch(dispute_id)
    if seen is None:
        return "ignored: not there"
    top_up = payers.paid_top_up(seen.payment_intent, now=now)
    if top_up is None:
        return "ignored: not ours"
    dispute = take(top_up, seen, now=now)
    return dispute.status if dispute else "differs"


def look(dispute: Dispute, *, now: datetime) -> Dispute:
    """What has become of it, as Stripe says now. Raises RefusedError and UnknownError."""
    seen = fetch(dispute.stripe_id)
    if seen is None:
        Dispute.objects.filter(pk=dispute.pk).update(look_at=now + LATEST)
        return dispute
    return take(dispute.top_up, seen, now=now) or dispute


def take(top_up: TopUp, seen: SeenDispute, *, now: datetime) -> Dispute | None:
    """Note what was seen of a dispute of this payment, and post what it moves. Committed when this returns.

    None where it doesn't fit the payment.
    """
    with payers.held(top_up) as mine:
        return note(mine, seen, now)


def note(top_up: TopUp, seen: SeenDispute, now: datetime) -> Dispute | None:
    """As `take`, in a transaction that holds the payment: `payers.locked`."""
    if differences := seen.differences(top_up):
        detail = (
            f"Dispute {seen.id} of top-up {top_up.public_id}, at Stripe: {'; '.join(differences)}. It wasn't posted."
        )
        alarm.raise_alarm("payment_differs", seen.id, detail, now=now)
        return None
    dispute = Dispute.objects.filter(stripe_id=seen.id).first() or _begun(top_up, seen, now)
    dispute.status, dispute.due_by, dispute.looked_at = seen.status, seen.due_by, now
    _move(dispute, top_up, seen, now)
    if seen.closed:
        _close(dispute, top_up, now)
    else:
        _open(dispute, top_up, seen, now)
    dispute.look_at = None if seen.settled else now + min(max((now - dispute.noted_at) // 2, SOONEST), LATEST)
    dispute.save()
    return dispute


def _begun(top_up: TopUp, seen: SeenDispute, now: datetime) -> Dispute:
    return Dispute(
        stripe_id=seen.id,
        top_up=top_up,
        organization=top_up.organization,
        reason=seen.reason[:60],
        amount=seen.amount,
        nanos=nanos_of(seen.amount, seen.currency),
        opened_at=min(seen.created, now),
        noted_at=now,
    )


def _move(dispute: Dispute, top_up: TopUp, seen: SeenDispute, now: datetime) -> None:
    """Take what the bank took, and give back what it gave back: each once."""
    if seen.withdrawn and dispute.withdrawn_id is None:
        what = f"A bank took back the payment of top-up {top_up.public_id}"
        key = f"dispute:{dispute.stripe_id}"
        movement = taking_back.taken(
            key, TransactionKind.DISPUTE, top_up, dispute.nanos, reason=what, actor_id=None, now=now
        )
        dispute.withdrawn_id = ledger.post([movement], now=now).transactions[key]
    if seen.reinstated and dispute.withdrawn_id is not None and dispute.reinstated_id is None:
        what = f"The dispute of top-up {top_up.public_id} was won"
        key = f"dispute-back:{dispute.stripe_id}"
        movement = taking_back.given_back(
            key, TransactionKind.DISPUTE, top_up, dispute.nanos, takes=dispute.withdrawn_id, reason=what, now=now
        )
        dispute.reinstated_id = ledger.post([movement], now=now).transactions[key]


def _open(dispute: Dispute, top_up: TopUp, seen: SeenDispute, now: datetime) -> None:
    """Suspend its organization, once; a bank that only asks suspends nobody."""
    dispute.closed_at = None
    due = f" Answer at Stripe before {seen.due_by:%Y-%m-%d %H:%M} UTC." if seen.due_by else ""
    if seen.inquiry:
        if dispute.pk:
            return
        detail = f"A bank asks about top-up {top_up.public_id} of {top_up.organization}: {seen.reason}.{due}"
        alarm.raise_alarm("payment_disputed", dispute.stripe_id, detail, now=now)
        return
    if dispute.suspended:
        return
    dispute.suspended = True
    reason = f"A bank disputes top-up {top_up.public_id}: {seen.reason}"
    organizations.hold(top_up.organization, _cause(dispute), actor=None, reason=reason, now=now)
    detail = f"{reason}. {top_up.organization} is suspended until it is decided, or staff reinstate it.{due}"
    alarm.raise_alarm("payment_disputed", dispute.stripe_id, detail, now=now)
    _tell(dispute, top_up, "opened", now)


def _close(dispute: Dispute, top_up: TopUp, now: datetime) -> None:
    if dispute.closed_at is None:
        dispute.closed_at = now
        if dispute.withdrawn_id is not None:
            _tell(dispute, top_up, "won" if dispute.status == "won" else "lost", now)
    reason = f"The dispute of top-up {top_up.public_id} is closed: {dispute.status}"
    organizations.release(top_up.organization, _cause(dispute), reason=reason, now=now)


def _cause(dispute: Dispute) -> str:
    return f"dispute {dispute.stripe_id}"


def _tell(dispute: Dispute, top_up: TopUp, event: str, now: datetime) -> None:
    facts = {
        "event": event,
        "top_up": top_up.public_id,
        "nanos": dispute.nanos,
        "currency": top_up.currency.upper(),
    }
    give([News(top_up.organization_id, NoticeKind.DISPUTE, f"{dispute.public_id}:{event}", facts)], now=now)


def fetch(dispute_id: str) -> SeenDispute | None:
    """A dispute as it is now; None where there is none of that id."""
    return if_there("disputes.retrieve", lambda stripe: SeenDispute.of(stripe.disputes.retrieve(dispute_id)))
