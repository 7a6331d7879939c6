from datetime import datetime

from accounts.models import User
from billing import ledger
from billing.models import Subscription
from billing.plans import moving
from billing.plans.giving import give
from billing.plans.noting import Cause, Kind, note


def finish(
    subscription: Subscription,
    at: datetime,
    *,
    now: datetime,
    nanos: int = 0,
    actor: User | None = None,
    cause: Cause = Cause.ASKED,
) -> list[int]:
    """End a subscription in the caller's transaction: from now on its organization has what everybody has.

    Returns entries as `give` does.
    """
    ledger.lock([subscription.organization_id])
    moving.let_lapse(subscription, now)
    subscription.ended_at, subscription.next_version, subscription.cancels_at_end = at, None, False
    subscription.save(update_fields=["ended_at", "next_version", "cancels_at_end"])
    note(subscription, Kind.ENDED, at=at, now=now, actor=actor, nanos=nanos, cause=cause)
    return give(subscription.organization, None, actor=actor, reason="The plan ended", now=now)
