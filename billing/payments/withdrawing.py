"""Seeing to it that nothing more can be paid by a way that was opened before: so that no debt is paid by two."""

from datetime import datetime

from accounts.models import Organization
from billing.models import TopUp
from billing.payments import intents, settling
from billing.payments.calling import RefusedError, calling


def close_pages(organization: Organization, *, now: datetime) -> bool:
    """Close what its people could still pay; False where one may be paid yet. Raises RefusedError and UnknownError.

    What turns out to be paid is credited.
    """
    theirs = TopUp.objects.filter(organization=organization, way__in=[TopUp.Way.CHECKOUT, TopUp.Way.CARD])
    pages = theirs.filter(state=TopUp.State.OPEN).select_related("organization", "card")
    closed = (close(page, now=now) for page in pages)
    return all(page.state != TopUp.State.OPEN or _never_told(page) for page in closed)


def close(top_up: TopUp, *, now: datetime) -> TopUp:
    """Give it up at Stripe, and note what it is then. Raises RefusedError and UnknownError."""
    if top_up.way == TopUp.Way.CHECKOUT:
        # One whose answer was lost is found by this, and its address is known from then on.
        known = top_up if top_up.checkout_session else settling.look(top_up, now=now)
        if known.checkout_session and not known.settled:
            _expire(known.checkout_session)
    elif top_up.payment_intent and (seen := intents.payment(top_up.payment_intent)):
        return settling.take(top_up.pk, seen if seen.paid else intents.withdraw(seen), now=now)
    top_up.refresh_from_db()
    return settling.look(top_up, now=now)


def _expire(session: str) -> None:
    try:
        with calling("checkout.sessions.expire") as stripe:
            stripe.checkout.sessions.expire(session)
    except RefusedError as error:
        if error.temporary:
            raise
        # It isn't open any more: what it is instead is looked at.


def _never_told(top_up: TopUp) -> bool:
    """Whether nobody knows its page's address, if there is a page at all."""
    return top_up.way == TopUp.Way.CHECKOUT and not top_up.checkout_session
