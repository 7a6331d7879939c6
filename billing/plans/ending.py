"""Ending a plan: when the period that is paid ends, or now, with what is left of it."""

from datetime import datetime

from accounts import organizations
from accounts.models import Organization, User
from billing import ledger
from billing.models import Subscription
from billing.plans.beginning import cut_movements
from billing.plans.choosing import current, prepare, require_recent, tell
from billing.plans.errors import OtherwiseError, PlanError
from billing.plans.finishing import finish
from billing.plans.noting import Kind, note
from billing.plans.paying import Till, carry_out
from billing.plans.quoting import quote


def cancel_at_end(organization: Organization, *, actor: User, now: datetime) -> Subscription:
    """Renew the plan no more. Raises PlanError."""
    prepare(organization, now)

    def work(_: Till) -> Subscription:
        subscription = current(organization)
        if subscription.past_due_since:
            raise PlanError("The period that was paid is over: cancel now.")
        if not subscription.cancels_at_end:
            subscription.cancels_at_end, subscription.next_version = True, None
            subscription.save(update_fields=["cancels_at_end", "next_version"])
            note(subscription, Kind.CANCEL_SCHEDULED, at=subscription.period_ends_at, now=now, actor=actor)
            tell("plan.cancel_at_end", subscription, str(subscription.version), actor=actor, now=now)
        return subscription

    return carry_out(organization.pk, work)


def cancel_now(
    organization: Organization,
    *,
    actor: User | None,
    now: datetime,
    at: datetime | None = None,
    shown_nanos: int | None = None,
    reason: str = "",
) -> Subscription:
    """End the plan now, or at a moment not long ago for which it was shown what comes back. Raises as `choose` does."""
    at = at or now
    require_recent(at, now)
    prepare(organization, now)

    def work(till: Till) -> tuple[Subscription, list[int]]:
        ledger.lock([organization.pk])
        subscription = current(organization)
        if at <= subscription.period_starts_at:
            raise OtherwiseError("The plan has changed since this was shown: look again.")
        offer = quote(till.organization, None, at=at)
        if shown_nanos is not None and offer.net_nanos > shown_nanos:
            raise OtherwiseError("Less comes back than what was shown, because credit was used meanwhile: look again.")
        movements = cut_movements(subscription, offer, now=now)
        till.post(movements, needed_nanos=offer.needed_nanos, now=now)
        tell("plan.cancel", subscription, str(subscription.version), actor=actor, now=now, reason=reason)
        return subscription, finish(subscription, at, nanos=offer.net_nanos, actor=actor, now=now)

    subscription, entries = carry_out(organization.pk, work)
    organizations.require_in_force(organization, entries)
    return subscription
