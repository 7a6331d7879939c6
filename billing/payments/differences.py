"""Differences between Stripe and our rows: noted by night, shown to staff, repaired by what settles everything else."""

from collections.abc import Callable
from datetime import date, datetime

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User, alarm, audit
from billing.models import Dispute, PaymentDifference, Refund
from billing.payments import comparing, disputes, refunds, settling
from billing.payments.calling import livemode
from billing.payments.comparing import Compared

Kind = PaymentDifference.Kind
Clock = Callable[[], datetime]


def find(day: date, clock: Clock, tell: Callable[[int], None] = lambda _: None) -> tuple[int, int]:
    """Compare a UTC day, and what was found before; returns how much was compared, and how much differs now.

    Raises RefusedError and UnknownError: what was found until then is noted.
    """
    met = set()
    for compared in comparing.compare(day, tell):
        met.add((compared.kind.value, compared.stripe_id))
        _note(compared, day, clock())
    for before in _open():
        if (before.kind, before.stripe_id) not in met:
            _note(comparing.again(before.kind, before.stripe_id, before.top_up), before.day, clock())
    differing = _open().count()
    if differing:
        detail = f"{differing} differences between Stripe and the books: see Staff → Payments."
        alarm.raise_alarm("payments_differ", "comparison", detail, now=clock())
    return len(met), differing


def repair(difference: PaymentDifference, *, actor: User, now: datetime) -> bool:
    """Settle the object as healing would, and compare again; whether both sides agree now.

    Raises RefusedError and UnknownError.
    """
    before = difference.what
    _settle(difference, now)
    compared = comparing.again(difference.kind, difference.stripe_id, difference.top_up)
    with transaction.atomic():
        _note(compared, difference.day, now, actor=actor)
        audit.record(
            "payment.repair",
            difference.stripe_id,
            actor=actor,
            organization=difference.top_up.organization if difference.top_up else None,
            before={"difference": before},
            after={"difference": compared.what},
            now=now,
        )
    return not compared.what


def _settle(difference: PaymentDifference, now: datetime) -> None:
    """The same functions that webhooks and healing end in."""
    if difference.kind == Kind.REFUND:
        known = Refund.objects.filter(stripe_id=difference.stripe_id).first()
        if known:
            refunds.look(known, now=now)
        else:
            refunds.hear(difference.stripe_id, now=now)
    elif difference.kind == Kind.DISPUTE:
        row = Dispute.objects.filter(stripe_id=difference.stripe_id).first()
        if row:
            disputes.look(row, now=now)
        else:
            disputes.hear(difference.stripe_id, now=now)
    elif difference.top_up:
        settling.look(difference.top_up, now=now)


def _note(compared: Compared, day: date, now: datetime, *, actor: User | None = None) -> None:
    mine = _open().filter(kind=compared.kind, stripe_id=compared.stripe_id)
    if not compared.what:
        mine.update(closed_at=now, closed_by=actor)
        return
    row, made = PaymentDifference.objects.get_or_create(
        kind=compared.kind,
        stripe_id=compared.stripe_id,
        closed_at=None,
        defaults={
            "top_up": compared.top_up,
            "account": settings.STRIPE_ACCOUNT,
            "livemode": livemode(),
            "what": compared.what[:500],
            "day": day,
            "found_at": now,
            "seen_at": now,
        },
    )
    if not made:
        PaymentDifference.objects.filter(pk=row.pk).update(what=compared.what[:500], seen_at=now)


def _open() -> QuerySet[PaymentDifference]:
    return PaymentDifference.objects.filter(
        closed_at=None, account=settings.STRIPE_ACCOUNT, livemode=livemode()
    ).select_related("top_up__organization")
