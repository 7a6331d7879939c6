"""Plans and money as one would say them, to compare the books with. Exact fractions, plain lists, no database."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from billing.models import PlanVersion
from billing.plans.periods import following

GRACE = timedelta(days=7)


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


@dataclass
class Grant:
    left: int
    all: int
    expires: datetime | None


@dataclass
class Plan:
    version: PlanVersion
    anchor: int
    starts: datetime
    ends: datetime
    grant: Grant
    due: datetime
    following: PlanVersion | None = None
    ends_then: bool = False
    unpaid_since: datetime | None = None


@dataclass
class Account:
    own: int = 0
    debt: int = 0
    grants: list[Grant] = field(default_factory=list)
    plan: Plan | None = None
    fees: int = 0
    periods: int = 0

    @property
    def credit(self) -> int:
        return sum(grant.left for grant in self.grants)

    @property
    def balance(self) -> int:
        return self.own + self.credit - self.debt

    def come(self, nanos: int) -> None:
        paid = min(self.debt, nanos)
        self.debt -= paid
        self.own += nanos - paid

    def use(self, nanos: int) -> None:
        for grant in sorted(self.grants, key=lambda grant: (grant.expires is None, grant.expires)):
            taken = min(nanos, grant.left)
            grant.left -= taken
            nanos -= taken
        taken = min(nanos, self.own)
        self.own -= taken
        self.debt += nanos - taken

    def expire(self, now: datetime) -> None:
        self.grants = [grant for grant in self.grants if grant.expires is None or grant.expires > now]

    def rest(self, at: datetime) -> tuple[int, int]:
        """What comes back of the fee, and is taken back of the credit."""
        plan = self.plan
        if plan is None or not plan.starts < at < plan.ends:
            return 0, 0
        left = Fraction(
            (plan.ends - at) // timedelta(microseconds=1), (plan.ends - plan.starts) // timedelta(microseconds=1)
        )
        grant = plan.grant
        earned, used = half_up(grant.all * (1 - left)), grant.all - grant.left
        back = half_up(plan.version.fee_nanos * left) - max(0, used - earned)
        return max(0, back), grant.left - max(0, earned - used)

    def cut(self, at: datetime) -> None:
        back, taken = self.rest(at)
        if self.plan:
            self.plan.grant.left -= taken
        self.come(back)

    def affords(self, version: PlanVersion, at: datetime | None = None) -> bool:
        back = self.rest(at)[0] if at else 0
        return version.fee_nanos == 0 or self.own + back - self.debt >= version.fee_nanos

    def pay(self, version: PlanVersion, expires: datetime) -> Grant:
        self.own -= version.fee_nanos
        self.fees += bool(version.fee_nanos)
        self.periods += 1
        paid = min(self.debt, version.included_credit_nanos)
        self.debt -= paid
        included = version.included_credit_nanos
        grant = Grant(included - paid, included, None if version.rolls_over else expires)
        self.grants.append(grant)
        return grant

    def begin(self, version: PlanVersion, at: datetime) -> None:
        self.cut(at)
        ends = following(at, version.period, at.day)
        self.plan = Plan(version, at.day, at, ends, self.pay(version, ends), ends)

    def lapse(self, at: datetime) -> None:
        for grant in self.grants:
            if grant.expires is None:
                grant.expires = at + timedelta(days=30)

    def end(self, now: datetime) -> None:
        self.lapse(now)
        self.plan = None

    def renew(self, now: datetime) -> None:
        while (plan := self.plan) and plan.due <= now:
            version = plan.following or plan.version
            if plan.ends_then:
                self.end(now)
            elif self.affords(version):
                self._next(plan, version, now)
            else:
                plan.unpaid_since = plan.unpaid_since or now
                plan.due = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
                if now >= plan.unpaid_since + GRACE:
                    self.end(now)

    def _next(self, plan: Plan, version: PlanVersion, now: datetime) -> None:
        ends = expires = following(plan.ends, version.period, plan.anchor)
        while expires <= now:
            expires = following(expires, version.period, plan.anchor)
        if version.rolls_over and version.included_credit_nanos:
            room = version.included_credit_nanos
            for grant in reversed(self.grants):
                if grant.expires is None:
                    grant.left = min(room, grant.left)
                    room -= grant.left
        else:
            self.lapse(now)
        self.plan = Plan(version, plan.anchor, plan.ends, ends, self.pay(version, expires), ends)
