"""Auto-recharge: one attempt at a time, within a month's limit, and none for a while after each, whatever became of it.

An attempt is a top-up, so its unknown outcomes are looked up, never repeated; while it is open no other begins.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Sum

from accounts.models import Organization
from billing.models import AutoRecharge, Balance, NoticeKind, TopUp
from billing.notices.giving import News, give
from billing.payments import calling, cards, charging, topping_up, withdrawing

log = structlog.get_logger(__name__)

PAUSE = timedelta(minutes=1)
"""Between two that are paid."""

PAUSES = (timedelta(hours=1), timedelta(hours=6))
"""After the first and the second no. The first is kept too where nothing is known of what became of it."""

MOST_FAILURES = 3
CONFIRM_WITHIN = timedelta(days=1)
"""How long a payment waits for its customer to confirm it at the bank."""

MOST_AT_ONCE = 500


def due(now: datetime) -> Iterable[int]:
    """Organizations whose balance is to be refilled now."""
    return _due(now).order_by("not_before").values_list("pk", flat=True)[:MOST_AT_ONCE]


def recharge(organization_id: int, *, now: datetime) -> TopUp | None:
    """Refill a balance if it is to be; the top-up by which, whatever became of it. By however many at once: one."""
    if not calling.offered() or not _due(now).filter(pk=organization_id).exists():
        return None
    organization = Organization.objects.get(pk=organization_id)
    try:
        # Before anything is charged: whoever has a page open to pay would pay twice.
        if not withdrawing.close_pages(organization, now=now):
            return None
    except (calling.RefusedError, calling.UnknownError) as error:
        log.warning("recharge put off", organization=organization.public_id, error=str(error))
        return None
    begun = _begin(organization, now)
    if begun:
        with suppress(calling.RefusedError, calling.UnknownError):
            charging.charge(begun, present=False, now=now)
        begun.refresh_from_db()
    return begun


def _due(now: datetime) -> "QuerySet[AutoRecharge]":
    rich = Balance.objects.filter(organization=OuterRef("pk"), nanos__gte=OuterRef("threshold_nanos"))
    on_its_way = TopUp.objects.unsettled().filter(organization=OuterRef("pk"), way=TopUp.Way.RECHARGE)
    waiting = AutoRecharge.objects.filter(active=True, stopped_at=None, not_before__lte=now)
    return waiting.filter(~Exists(rich), ~Exists(on_its_way), organization__suspended_at=None)


@transaction.atomic(durable=True)
def _begin(organization: Organization, now: datetime) -> TopUp | None:
    """Write the attempt down, if it may be made: looked at while nobody else begins one."""
    own = AutoRecharge.objects.select_for_update(no_key=True, of=["self"]).get(pk=organization.pk)
    if not _due(now).filter(pk=organization.pk).exists():
        return None
    card = cards.default_of(organization)
    if card is None:
        stop(own, "There is no saved card.", now)
        return None
    if recharged_this_month(organization, now) + own.amount_nanos > own.monthly_cap_nanos:
        _wait_for_next_month(own, now)
        return None
    amount = topping_up.amount_of(own.amount_nanos)
    begun = topping_up.new(organization, amount, own.amount_nanos, actor=None, now=now)
    begun.way, begun.card, begun.customer = TopUp.Way.RECHARGE, card, card.customer
    begun.save(force_insert=True)
    # If it is paid it will be sooner.
    own.not_before = now + PAUSES[0]
    own.save(update_fields=["not_before"])
    return begun


def recharged_this_month(organization: Organization, now: datetime) -> int:
    """Nano-dollars that came, or are on their way, in this calendar month (UTC)."""
    made = TopUp.objects.filter(organization=organization, way=TopUp.Way.RECHARGE, created_at__gte=month_of(now))
    counted = made.filter(state__in=[TopUp.State.OPEN, TopUp.State.PROCESSING, TopUp.State.PAID])
    return counted.aggregate(nanos=Sum("nanos"))["nanos"] or 0


def month_of(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def follow(top_up: TopUp, now: datetime) -> None:
    """What an attempt's new state means for the next one; in the transaction that says so."""
    own = AutoRecharge.objects.select_for_update(no_key=True, of=["self"]).get(pk=top_up.organization_id)
    if top_up.state == TopUp.State.PAID:
        own.failures, own.not_before = 0, max(now, top_up.created_at + PAUSE)
        own.save(update_fields=["failures", "not_before"])
    elif top_up.awaits_customer:
        top_up.closes_at = now + CONFIRM_WITHIN
        top_up.save(update_fields=["closes_at"])
        _tell(own, "confirm", top_up.public_id, now, top_up=top_up)
    elif top_up.state == TopUp.State.FAILED and top_up.decline:
        _failed(own, top_up, now)


def _failed(own: AutoRecharge, top_up: TopUp, now: datetime) -> None:
    own.failures += 1
    if own.failures >= MOST_FAILURES:
        stop(own, f"{top_up.card} said no {own.failures} times, at last: {top_up.why}", now)
        return
    own.not_before = max(own.not_before, now + PAUSES[own.failures - 1])
    own.save(update_fields=["failures", "not_before"])
    _tell(own, "declined", top_up.public_id, now, top_up=top_up, next_at=own.not_before)


def stop(own: AutoRecharge, why: str, now: datetime) -> None:
    """Until a person starts it again. The caller holds its row."""
    own.stopped_at, own.stopped_why = now, why[:300]
    own.save(update_fields=["failures", "stopped_at", "stopped_why"])
    _tell(own, "stopped", now.isoformat(), now)


def _wait_for_next_month(own: AutoRecharge, now: datetime) -> None:
    own.capped_at, own.not_before = now, month_of(month_of(now) + timedelta(days=32))
    own.save(update_fields=["capped_at", "not_before"])
    _tell(own, "capped", f"{now:%Y-%m} {own.monthly_cap_nanos}", now)


def _tell(
    own: AutoRecharge,
    event: str,
    subject: str,
    now: datetime,
    *,
    top_up: TopUp | None = None,
    next_at: datetime | None = None,
) -> None:
    facts = {
        "event": event,
        "threshold_nanos": own.threshold_nanos,
        "nanos": own.amount_nanos,
        "cap_nanos": own.monthly_cap_nanos,
        "why": top_up.why if top_up else own.stopped_why,
        "card": str(top_up.card) if top_up else "",
        "top_up": top_up.public_id if top_up else "",
        "until": (now + CONFIRM_WITHIN).isoformat(),
        "next_at": next_at.isoformat() if next_at else "",
    }
    give([News(own.pk, NoticeKind.CARD, f"recharge:{event}:{subject}", facts)], now=now)
