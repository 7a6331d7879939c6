"""The first period of a plan by saved card: a top-up with a promise, which its money keeps as it comes.

Later periods are `plan_fees`'s.
"""

from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from accounts.models import Organization, User, alarm
from billing.models import PlanPromise, PlanVersion, SavedCard, Subscription, TopUp
from billing.payments import plan_fees, topping_up, withdrawing
from billing.payments.calling import RefusedError, UnknownError
from billing.payments.currencies import nanos_of
from billing.plans import choosing
from billing.plans.errors import OtherwiseError, PlanError

log = structlog.get_logger(__name__)


def begin(
    organization: Organization,
    version: PlanVersion,
    card: SavedCard,
    *,
    shown_nanos: int,
    asked: UUID,
    actor: User,
    now: datetime,
) -> TopUp:
    """Write down that this card pays a plan's first period; `charging.charge` asks it.

    Raises PlanError; topping_up.AgainError with the payment that is on its way already, by this form or another.
    """
    choosing.require_offered(version)
    if version.fee_nanos > shown_nanos:
        raise OtherwiseError("It costs more than what was shown: look again.")
    _give_up_others(organization, asked, now)
    amount = plan_fees.amount_of(version)
    top_up = topping_up.new(organization, amount, nanos_of(amount, settings.CURRENCY), actor=actor, now=now)
    top_up.way, top_up.card, top_up.customer, top_up.asked = TopUp.Way.CARD, card, card.customer, asked
    with transaction.atomic():
        # Two forms at once: the second finds what the first wrote.
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if before := _on_its_way(organization).first() or _by_form(organization, asked):
            raise topping_up.AgainError(before)
        if locked.suspended_at:
            raise PlanError("The organization is suspended: its cards pay nothing meanwhile.")
        if Subscription.objects.current().filter(organization=organization).exists():
            raise PlanError("There is a plan already.")
        top_up.save(force_insert=True)
        PlanPromise.objects.create(top_up=top_up, version=version)
    return top_up


def follow(top_up: TopUp, now: datetime) -> None:
    """Its money has come: the plan begins, in the transaction that says so. Where it can't, it is the balance's."""
    promise = PlanPromise.objects.select_related("version__plan").filter(top_up=top_up).first()
    if promise is None or top_up.state != TopUp.State.PAID:
        return
    try:
        with transaction.atomic():
            promise.began = choosing.begin_paid(
                top_up.organization, promise.version, top_up.nanos, actor=top_up.actor, now=now
            )
            promise.save(update_fields=["began"])
            if promise.began:
                plan_fees.let_pay(top_up.organization, by_card=True, actor=top_up.actor, now=now)
    except (InterfaceError, OperationalError):
        raise
    except Exception as error:
        log.exception("plan paid, and doesn't begin", top_up=top_up.public_id)
        detail = f"{type(error).__name__}: {str(error)[:400]}. Its fee was paid by card and is on the balance."
        alarm.raise_alarm("plan_does_not_begin", top_up.public_id, detail, now=now)


def _give_up_others(organization: Organization, asked: UUID, now: datetime) -> None:
    """What was begun by another form and left at the bank can't be paid any more. Raises AgainError where it may be."""
    for other in _on_its_way(organization).exclude(asked=asked):
        try:
            left = withdrawing.close(other, now=now)
        except (RefusedError, UnknownError):
            left = other
        if not left.settled or left.state == TopUp.State.PAID:
            raise topping_up.AgainError(left)


def _on_its_way(organization: Organization) -> "QuerySet[TopUp]":
    rows = TopUp.objects.unsettled().filter(organization=organization, plan_promise__isnull=False)
    return rows.select_related("organization", "card")


def _by_form(organization: Organization, asked: UUID) -> TopUp | None:
    return TopUp.objects.select_related("organization").filter(organization=organization, asked=asked).first()
