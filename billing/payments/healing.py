"""Looking up what nobody told us of: webhooks that were lost, pages that were never come back from."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.db.models import QuerySet

from accounts.models import alarm
from billing.models import Dispute, Refund, TopUp
from billing.payments import billing_details, calling, cards, disputes, finding, refunds, settling

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 200
AWAY_AFTER = 3
"""So many failures in a row, and Stripe is taken to be away."""

PATIENCE = timedelta(minutes=15)

Clock = Callable[[], datetime]
Row = TypeVar("Row", TopUp, Refund, Dispute)
Failed = (calling.RefusedError, calling.UnknownError)


class _AwayError(Exception):
    """Stripe is: the next healing goes on."""


def heal(clock: Clock) -> int:
    """Look up what is due; return how many were."""
    if not calling.offered():
        return 0
    mode = {"livemode": calling.livemode(), "account": settings.STRIPE_ACCOUNT}
    back = {f"top_up__{name}": value for name, value in mode.items()}
    top_ups = TopUp.objects.unsettled().filter(**mode).select_related("organization", "card")
    looked = 0
    try:
        looked += _look_up(_due(top_ups, clock()), lambda row: settling.look(row, now=clock()), clock)
        of_refunds = _due(Refund.objects.filter(**back), clock())
        looked += _look_up(of_refunds, lambda row: refunds.look(row, now=clock()), clock)
        of_disputes = _due(Dispute.objects.filter(**back), clock())
        looked += _look_up(of_disputes, lambda row: disputes.look(row, now=clock()), clock)
        looked += _find(clock)
        _heal_cards(clock)
        _tell_details()
    except _AwayError:
        pass
    return looked


def _due(rows: QuerySet[Row], now: datetime) -> QuerySet[Row]:
    # Drawn by lot: those that fail each time don't keep the others from their turn.
    return rows.filter(look_at__lte=now).order_by("?")[:MOST_AT_ONCE]


def _look_up(rows: Iterable[Row], look: Callable[[Row], object], clock: Clock) -> int:
    looked, failed = 0, 0
    for row in rows:
        try:
            look(row)
        except Failed as error:
            failed += 1
            _late(row.public_id, row.look_at, error, clock())
            if failed >= AWAY_AFTER:
                raise _AwayError from error
        else:
            looked, failed = looked + 1, 0
    return looked


def _find(clock: Clock) -> int:
    try:
        return finding.find(clock)
    except Failed as error:
        _late("refunds and disputes", finding.seen_until(), error, clock())
        return 0


def _tell_details() -> None:
    for customer in billing_details.untold():
        try:
            billing_details.tell(customer)
        except calling.RefusedError as error:
            log.warning("billing details refused", organization=customer.organization.public_id, error=str(error))
        except calling.UnknownError:
            break


def _heal_cards(clock: Clock) -> None:
    for organization in cards.due(clock()):
        try:
            cards.look(organization, now=clock())
        except Failed as error:
            log.warning("cards not looked up", organization=organization.public_id, error=str(error))
            break


def _late(what: str, since: datetime | None, error: Exception, now: datetime) -> None:
    log.warning("payment not looked up", what=what, error=str(error))
    if since and since < now - PATIENCE:
        detail = f"{error}. What was paid or refunded meanwhile is posted once Stripe answers."
        alarm.raise_alarm("stripe_away", "top-ups", detail, now=now)
