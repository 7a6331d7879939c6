"""Looking up what nobody told us of: webhooks that were lost, pages that were never come back from."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings

from accounts.models import alarm
from billing.models import TopUp
from billing.payments import calling, cards, settling

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 200
AWAY_AFTER = 3
"""So many failures in a row, and Stripe is taken to be away."""

PATIENCE = timedelta(minutes=15)


def heal(clock: Callable[[], datetime]) -> int:
    """Look up what is due; return how many were."""
    if not calling.offered():
        return 0
    ours = TopUp.objects.filter(livemode=calling.livemode(), account=settings.STRIPE_ACCOUNT)
    due = ours.unsettled().filter(look_at__lte=clock())
    looked, failed = 0, 0
    # Drawn by lot: those that fail each time don't keep the others from their turn.
    for top_up in due.select_related("organization", "card").order_by("?")[:MOST_AT_ONCE]:
        try:
            settling.look(top_up, now=clock())
        except (calling.RefusedError, calling.UnknownError) as error:
            failed += 1
            _late(top_up, error, clock())
            if failed >= AWAY_AFTER:
                break
        else:
            looked, failed = looked + 1, 0
    if failed < AWAY_AFTER:
        _heal_cards(clock)
    return looked


def _heal_cards(clock: Callable[[], datetime]) -> None:
    for organization in cards.due(clock()):
        try:
            cards.look(organization, now=clock())
        except (calling.RefusedError, calling.UnknownError) as error:
            log.warning("cards not looked up", organization=organization.public_id, error=str(error))
            break


def _late(top_up: TopUp, error: Exception, now: datetime) -> None:
    log.warning("top-up not looked up", top_up=top_up.public_id, error=str(error))
    if top_up.look_at < now - PATIENCE:
        detail = f"{error}. Top-ups that were paid meanwhile are credited once Stripe answers."
        alarm.raise_alarm("stripe_away", "top-ups", detail, now=now)
