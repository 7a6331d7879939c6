"""What a plan gives to the decision: limits, overdraft, prices and models."""

from datetime import datetime

from accounts import organizations
from accounts.models import Organization, User
from billing.models import PlanVersion
from billing.terms import change_terms
from hotstate.records import Limits


def give(
    organization: Organization, version: PlanVersion | None, *, actor: User | None, reason: str, now: datetime
) -> list[int]:
    """Let a version's terms hold for an organization, or with None those of who has no plan.

    In the caller's transaction, who gives the result to `organizations.require_in_force` after its commit.
    """
    entries = organizations.set_plan(
        organization,
        plan=version.plan.slug if version else "",
        limits=version.limits if version else Limits(),
        overdraft_nanos=version.overdraft_nanos if version else 0,
        actor=actor,
        reason=reason,
        now=now,
    )
    return entries + change_terms(
        organization,
        now=now,
        actor=actor,
        reason=reason or "The plan",
        plan_price_list=version.price_list if version else None,
        plan_discount_bp=version.discount_bp or None if version else None,
        allowed_models=version.allowed_models if version else [],
    )
