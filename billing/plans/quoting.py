"""What a change of plan costs, and gives back, before it is made. The change posts the very same numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Organization
from billing.models import CreditGrant, PlanVersion, Subscription, SubscriptionPeriod
from billing.plans.periods import following
from billing.plans.proration import Paid, Rest, rest


@dataclass(frozen=True, kw_only=True)
class Quote:
    """To begin `version` at a moment, or with None to have no plan from then on. Nano-dollars."""

    version: PlanVersion | None
    at: datetime
    ends_at: datetime | None
    fee_nanos: int
    credit_nanos: int
    # Of the period that is cut.
    rest: Rest
    unused_credit_nanos: int

    @property
    def net_nanos(self) -> int:
        """What is to pay; negative: what comes back."""
        return self.fee_nanos - self.rest.refund_nanos

    @property
    def needed_nanos(self) -> int:
        """How much smaller the balance gets, the included credits counted too."""
        return self.net_nanos + self.rest.taken_back_nanos - self.credit_nanos


def quote(organization: Organization, version: PlanVersion | None, *, at: datetime) -> Quote:
    """What it costs to change to a version, or to no plan, at this moment."""
    return _quoted(running_period(organization, at), version, at)


def quotes(
    organization: Organization, versions: Iterable[PlanVersion], *, at: datetime
) -> list[tuple[PlanVersion, Quote]]:
    """What it costs to change to each."""
    period = running_period(organization, at)
    return [(version, _quoted(period, version, at)) for version in versions]


def _quoted(period: SubscriptionPeriod | None, version: PlanVersion | None, at: datetime) -> Quote:
    paid = paid_for(period, at) if period else None
    return Quote(
        version=version,
        at=at,
        ends_at=following(at, version.period, at.day) if version else None,
        fee_nanos=version.fee_nanos if version else 0,
        credit_nanos=version.included_credit_nanos if version else 0,
        rest=rest(paid, at) if paid else Rest(),
        unused_credit_nanos=paid.credit_nanos - paid.used_nanos if paid else 0,
    )


def running_period(organization: Organization, at: datetime) -> SubscriptionPeriod | None:
    """The paid period that this moment is in."""
    subscription = Subscription.objects.current().filter(organization=organization).first()
    if subscription is None or not subscription.period_starts_at < at < subscription.period_ends_at:
        return None
    periods = subscription.periods.select_related("version", "subscription", "fee", "credit__grant")
    return periods.get(number=subscription.number)


def paid_for(period: SubscriptionPeriod, at: datetime) -> Paid:
    """A period as it stands: what has gone of its grant by now is used."""
    grant = grant_of(period)
    left = grant.remaining_nanos if grant else 0
    included = grant.amount_nanos if grant else 0
    return Paid(
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        fee_nanos=period.version.fee_nanos,
        credit_nanos=included,
        used_nanos=included - left,
    )


def grant_of(period: SubscriptionPeriod) -> CreditGrant | None:
    return period.credit.grant if period.credit else None
