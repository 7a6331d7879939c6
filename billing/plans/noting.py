"""What happened to subscriptions, as rows that nobody edits."""

from datetime import datetime

from accounts.models import User
from billing.models import PlanVersion, Subscription, SubscriptionEvent

Kind = SubscriptionEvent.Kind
Cause = SubscriptionEvent.Cause


def note(
    subscription: Subscription,
    kind: Kind,
    *,
    at: datetime,
    now: datetime,
    actor: User | None = None,
    version: PlanVersion | None = None,
    nanos: int = 0,
    cause: Cause = Cause.ASKED,
) -> SubscriptionEvent:
    """Append an event, in the caller's transaction. `nanos` is what was paid; negative: what came back."""
    return SubscriptionEvent.objects.create(
        subscription=subscription,
        organization_id=subscription.organization_id,
        kind=kind,
        cause=cause,
        version=version or subscription.version,
        number=subscription.number,
        at=at,
        noted_at=now,
        nanos=nanos,
        actor=actor,
    )
