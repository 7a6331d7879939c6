"""What owners and admins choose of auto-recharge."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Organization
from accounts.models.audit import Actor, record
from billing.models import AutoRecharge, TopUp
from billing.payments import topping_up
from billing.payments.recharging import PAUSE
from config import enqueue


class RechargeError(ValueError):
    """It can't be chosen so; the message says why."""


def choose(
    organization: Organization,
    *,
    threshold_nanos: int,
    amount_nanos: int,
    monthly_cap_nanos: int,
    actor: Actor,
    now: datetime,
) -> AutoRecharge:
    """Turn it on, or change it; it starts anew. Nano-dollars. Raises RechargeError and topping_up.AmountError."""
    topping_up.amount_of(amount_nanos)
    if threshold_nanos < 0:
        raise RechargeError("Below zero nothing can be spent: choose an amount to refill below.")
    if monthly_cap_nanos < amount_nanos:
        raise RechargeError("The month's limit is less than what is added each time.")
    chosen = {
        "active": True,
        "threshold_nanos": threshold_nanos,
        "amount_nanos": amount_nanos,
        "monthly_cap_nanos": monthly_cap_nanos,
    }
    return _change(organization, "recharge.choose", chosen, actor, now)


def turn_off(organization: Organization, *, actor: Actor, now: datetime) -> None:
    """What is on its way still comes."""
    if AutoRecharge.objects.filter(pk=organization.pk).exists():
        _change(organization, "recharge.turn_off", {"active": False}, actor, now)


def start_again(organization: Organization, *, actor: Actor, now: datetime) -> None:
    """After it stopped."""
    if AutoRecharge.objects.filter(pk=organization.pk).exists():
        _change(organization, "recharge.start_again", {"active": True}, actor, now)


@transaction.atomic
def _change(
    organization: Organization, action: str, chosen: dict[str, bool | int], actor: Actor, now: datetime
) -> AutoRecharge:
    from billing.tasks import recharge_balance

    before = _chosen(AutoRecharge.objects.select_for_update(no_key=True, of=["self"]).filter(pk=organization.pk))
    own, _ = AutoRecharge.objects.update_or_create(
        pk=organization.pk,
        defaults={
            **chosen,
            "failures": 0,
            "stopped_at": None,
            "stopped_why": "",
            "not_before": _soonest(organization, now),
            "changed_at": now,
        },
    )
    after = _chosen(AutoRecharge.objects.filter(pk=organization.pk))
    record(action, organization.public_id, actor=actor, organization=organization, before=before, after=after, now=now)
    enqueue.after_commit(recharge_balance, organization.pk)
    return own


def _chosen(rows: "QuerySet[AutoRecharge]") -> dict[str, bool | int]:
    found = rows.first()
    names = ("active", "threshold_nanos", "amount_nanos", "monthly_cap_nanos")
    return {name: getattr(found, name) for name in names} if found else {}


def _soonest(organization: Organization, now: datetime) -> datetime:
    """However often a person starts it again: not at once after the last attempt."""
    last = TopUp.objects.filter(organization=organization, way=TopUp.Way.RECHARGE).order_by("-pk").first()
    return max(now, last.created_at + PAUSE) if last else now
