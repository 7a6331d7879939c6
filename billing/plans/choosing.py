"""Subscribing to a plan and changing it: now, paid at once, or when the period that is paid ends."""

from datetime import datetime, timedelta

from accounts import organizations
from accounts.models import Organization, User, audit
from billing import ledger
from billing.models import PlanVersion, Subscription
from billing.plans import beginning, renewing
from billing.plans.errors import OtherwiseError, PlanError
from billing.plans.giving import give
from billing.plans.noting import Kind, note
from billing.plans.paying import Till, carry_out
from billing.plans.periods import following
from billing.plans.quoting import quote

# What was shown counts for so long.
SHOWN = timedelta(minutes=15)


def choose(
    organization: Organization,
    version: PlanVersion,
    *,
    actor: User | None,
    now: datetime,
    at: datetime | None = None,
    shown_nanos: int | None = None,
    reason: str = "",
) -> Subscription:
    """Begin a period of this version now, or at a moment not long ago for which it was shown what that costs.

    Returns once Valkey has the plan's limits. Raises PlanError, OtherwiseError where it costs more than was shown, and
    hotstate.errors.Unreachable where it is done but the gateways don't know yet.
    """
    at = at or now
    require_recent(at, now)
    require_offered(version)
    prepare(organization, now)

    def work(till: Till) -> tuple[Subscription, list[int]]:
        return _begin(till, version, at=at, shown_nanos=shown_nanos, actor=actor, reason=reason, now=now)

    subscription, entries = carry_out(organization.pk, work)
    organizations.require_in_force(organization, entries)
    return subscription


def begin_paid(
    organization: Organization, version: PlanVersion, brought_nanos: int, *, actor: User | None, now: datetime
) -> Subscription | None:
    """Begin the first period with money that has just come for it, in the caller's transaction, which holds the
    organization; None where there is a plan by now. What was shown when it was paid holds, offered still or not.
    """
    if Subscription.objects.current().filter(organization=organization).exists():
        return None
    till = Till(organization, brought_nanos)
    begun, _ = _begin(till, version, at=now, shown_nanos=None, actor=actor, reason="", now=now)
    return begun


def choose_at_end(
    organization: Organization, version: PlanVersion, *, actor: User, now: datetime, reason: str = ""
) -> Subscription:
    """Begin this version when the period that is paid ends. Raises PlanError."""
    require_offered(version)
    prepare(organization, now)

    def work(_: Till) -> Subscription:
        subscription = current(organization)
        if subscription.past_due_since:
            raise PlanError("The last renewal couldn't be paid: change the plan now, or pay it first.")
        subscription.next_version, subscription.cancels_at_end = version, False
        subscription.save(update_fields=["next_version", "cancels_at_end"])
        at = subscription.period_ends_at
        note(subscription, Kind.CHANGE_SCHEDULED, at=at, now=now, actor=actor, version=version)
        tell("plan.change_at_end", subscription, str(version), actor=actor, now=now, reason=reason)
        return subscription

    return carry_out(organization.pk, work)


def keep(organization: Organization, *, actor: User, now: datetime) -> Subscription:
    """Neither change nor end when the period does. Raises PlanError."""

    def work(_: Till) -> Subscription:
        subscription = current(organization)
        if subscription.next_version or subscription.cancels_at_end:
            subscription.next_version, subscription.cancels_at_end = None, False
            subscription.save(update_fields=["next_version", "cancels_at_end"])
            note(subscription, Kind.KEPT, at=now, now=now, actor=actor)
            tell("plan.keep", subscription, str(subscription.version), actor=actor, now=now)
        return subscription

    return carry_out(organization.pk, work)


def current(organization: Organization) -> Subscription:
    """The organization's plan, locked for the caller's transaction. Raises PlanError where it has none."""
    found = Subscription.objects.current().filter(organization=organization).select_for_update(of=["self"])
    subscription = found.select_related("version__plan", "next_version__plan").first()
    if subscription is None:
        raise PlanError("There is no plan to change.")
    return subscription


def prepare(organization: Organization, now: datetime) -> None:
    """What has come due comes first: a period that is over is followed by the next."""
    due = Subscription.objects.current().filter(organization=organization, due_at__lte=now, past_due_since=None)
    for pk in due.values_list("pk", flat=True):
        renewing.renew(pk, now)


def require_recent(at: datetime, now: datetime) -> None:
    if not now - SHOWN <= at <= now:
        raise OtherwiseError("What was shown is too old: look again.")


def require_offered(version: PlanVersion) -> None:
    """Only a plan's newest version can be had, and none of a plan that is archived."""
    if version.plan.archived_at:
        raise PlanError(f"{version.plan.name} isn't offered any more.")
    if version.plan.versions.filter(number__gt=version.number).exists():
        raise PlanError(f"{version.plan.name} has changed: look at what it offers now.")


def tell(
    action: str, subscription: Subscription, what: str, *, actor: User | None, now: datetime, reason: str = ""
) -> None:
    """Into the audit trail."""
    organization = subscription.organization
    after = {"plan": what, "period_ends_at": subscription.period_ends_at}
    audit.record(
        action, organization.public_id, actor=actor, organization=organization, after=after, reason=reason, now=now
    )


def _begin(
    till: Till,
    version: PlanVersion,
    *,
    at: datetime,
    shown_nanos: int | None,
    actor: User | None,
    reason: str,
    now: datetime,
) -> tuple[Subscription, list[int]]:
    organization = till.organization
    ledger.lock([organization.pk])
    subscription = Subscription.objects.current().filter(organization=organization).select_for_update().first()
    if subscription and at <= subscription.period_starts_at:
        raise OtherwiseError("The plan has changed since this was shown: look again.")
    offer = quote(organization, version, at=at)
    if shown_nanos is not None and offer.net_nanos > shown_nanos:
        raise OtherwiseError("It costs more than what was shown, because credit was used meanwhile: look again.")
    kind = Kind.CHANGED if subscription else Kind.SUBSCRIBED
    if subscription is None:
        subscription = Subscription.objects.create(
            organization=organization,
            version=version,
            started_at=at,
            anchor_day=at.day,
            period_starts_at=at,
            period_ends_at=following(at, version.period, at.day),
            due_at=at,
        )
    beginning.begin_now(subscription, offer, version, till=till, now=now)
    note(subscription, kind, at=at, now=now, actor=actor, nanos=offer.net_nanos)
    tell("plan.choose", subscription, str(version), actor=actor, now=now, reason=reason)
    return subscription, give(organization, version, actor=actor, reason=reason, now=now)
