"""Which top-up a payment at Stripe was for, credited first where that is still to be done."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction

from accounts.models import Organization
from billing import ledger
from billing.models import TopUp
from billing.payments import settling
from billing.payments.calling import if_there, ours
from billing.payments.seen import told


def paid_top_up(payment_intent: str, *, now: datetime) -> TopUp | None:
    """The top-up that a PaymentIntent paid; None where there is none, or its money wasn't credited.

    Raises RefusedError and UnknownError.
    """
    top_up = _known(payment_intent)
    if top_up and top_up.state != TopUp.State.PAID:
        top_up = settling.look(top_up, now=now)
    if top_up is None or top_up.state != TopUp.State.PAID or top_up.payment_intent != payment_intent:
        return None
    return top_up if ours(top_up) else None


@contextmanager
def held(top_up: TopUp) -> Iterator[TopUp]:
    """A transaction in which nobody else refunds or disputes this payment, or moves its organization's money."""
    with transaction.atomic(durable=True):
        # In the order in which plans lock them: organization, then balance.
        Organization.objects.select_for_update(no_key=True).get(pk=top_up.organization_id)
        yield locked(top_up)


def locked(top_up: TopUp) -> TopUp:
    """The row as it is, in a transaction that holds its organization."""
    mine = TopUp.objects.select_for_update(no_key=True, of=["self"]).select_related(
        "organization", "transaction__grant"
    )
    found = mine.get(pk=top_up.pk)
    ledger.lock([found.organization_id])
    # The grant as it is now that nobody else can change it.
    if found.transaction:
        found.transaction.grant.refresh_from_db()
    return found


def _known(payment_intent: str) -> TopUp | None:
    if not payment_intent:
        return None
    rows = TopUp.objects.select_related("organization")
    if top_up := rows.filter(payment_intent=payment_intent).first():
        return top_up
    # Nobody has looked at it since it was paid.
    intent = if_there("payment_intents.retrieve", lambda stripe: stripe.payment_intents.retrieve(payment_intent))
    reference = told(intent.metadata, "top_up") if intent else ""
    return rows.filter(public_id=reference).first() if reference else None
