"""An organization's plan as its billing page shows it: what is used of it, and what comes next."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, OuterRef, QuerySet, Subquery

from accounts.models import Organization
from billing.models import CreditGrant, PlanVersion, Subscription
from billing.plans.quoting import grant_of
from website.standing import RATES


@dataclass(frozen=True)
class PlanStanding:
    """`included_nanos` came with the period that runs; `used_nanos` of it is gone."""

    subscription: Subscription
    included_nanos: int
    used_nanos: int

    @property
    def percent(self) -> int:
        return min(100, self.used_nanos * 100 // self.included_nanos) if self.included_nanos else 0

    @property
    def left_nanos(self) -> int:
        return self.included_nanos - self.used_nanos

    @property
    def ends_unpaid_at(self) -> datetime | None:
        """Where a renewal failed: until when it is tried again."""
        since = self.subscription.past_due_since
        return since + timedelta(days=settings.PLAN_GRACE_DAYS) if since else None


def of(organization: Organization) -> PlanStanding | None:
    found = Subscription.objects.current().filter(organization=organization)
    subscription = found.select_related("version__plan", "version__price_list", "next_version__plan").first()
    if subscription is None:
        return None
    period = subscription.periods.select_related("credit__grant").get(number=subscription.number)
    grant = grant_of(period)
    if grant is None:
        return PlanStanding(subscription, 0, 0)
    return PlanStanding(subscription, grant.amount_nanos, grant.amount_nanos - grant.remaining_nanos)


def burning(organization: Organization) -> QuerySet[CreditGrant]:
    """Grants with something left, in the order in which they burn."""
    left = organization.grants.filter(remaining_nanos__gt=0)
    return left.order_by("priority", F("expires_at").asc(nulls_last=True), "id")


def offered(*, public: bool = True) -> QuerySet[PlanVersion]:
    """The newest version of each plan that is to be had, by its price; with `public` false, private plans too."""
    newest = PlanVersion.objects.filter(plan=OuterRef("plan")).order_by("-number").values("pk")[:1]
    versions = PlanVersion.objects.filter(pk=Subquery(newest), plan__archived_at=None)
    if public:
        versions = versions.filter(plan__public=True)
    return versions.select_related("plan", "price_list").order_by("fee_nanos", "plan__name")


def limits_of(version: PlanVersion) -> list[tuple[str, int]]:
    """Label and amount of each limit that it has."""
    return [(label, most) for name, label in RATES.items() if (most := getattr(version, name)) is not None]
