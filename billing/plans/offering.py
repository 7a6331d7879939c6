"""Making plans, giving them new versions, archiving them: staff's work."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction
from msgspec.structs import asdict

from accounts.models import User, audit
from billing.models import Plan, PlanVersion, PriceList
from billing.plans.errors import PlanError
from hotstate.records import Limits

# Valkey counts up to $9M.
LARGEST_NANOS = 1_000_000 * 10**9


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a version costs and gives; nano-dollars by period."""

    period: PlanVersion.Period
    fee_nanos: int
    included_credit_nanos: int = 0
    rolls_over: bool = False
    limits: Limits = field(default_factory=Limits)
    overdraft_nanos: int = 0
    allowed_models: tuple[str, ...] = ()
    discount_bp: int = 0
    price_list: PriceList | None = None


def create_plan(
    slug: str,
    name: str,
    offer: Offer,
    *,
    description: str = "",
    public: bool,
    actor: User | None,
    reason: str,
    now: datetime,
) -> PlanVersion:
    """A new plan with its first version. Raises PlanError where the slug is taken."""
    try:
        with transaction.atomic():
            plan = Plan.objects.create(slug=slug, name=name, description=description, public=public, created_at=now)
            _record("plan.create", plan, {"name": name, "public": public}, actor=actor, reason=reason, now=now)
            return _version(plan, 1, offer, actor=actor, reason=reason, now=now)
    except IntegrityError as error:
        raise PlanError(f"There is a plan {slug} already.") from error


def check(offer: Offer) -> None:
    """Raises PlanError for amounts that can't be."""
    amounts = (offer.fee_nanos, offer.included_credit_nanos, offer.overdraft_nanos)
    if not all(0 <= nanos <= LARGEST_NANOS for nanos in amounts):
        raise PlanError("A plan's amounts are from $0 to $1,000,000.")
    if not 0 <= offer.discount_bp <= 10_000:
        raise PlanError("A discount is from 0 to 100 percent.")


def add_version(plan: Plan, offer: Offer, *, actor: User | None, reason: str, now: datetime) -> PlanVersion:
    """What the plan offers from now on. Who has an older version keeps it."""
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=plan.pk)
        newest = plan.versions.order_by("-number").first()
        return _version(plan, newest.number + 1 if newest else 1, offer, actor=actor, reason=reason, now=now)


def describe(plan: Plan, *, name: str, description: str, public: bool, actor: User, now: datetime) -> None:
    """Change what people read, and whether customers can choose it."""
    before = {"name": plan.name, "description": plan.description, "public": plan.public}
    plan.name, plan.description, plan.public = name, description, public
    with transaction.atomic():
        plan.save(update_fields=["name", "description", "public"])
        after = {"name": name, "description": description, "public": public}
        audit.record("plan.describe", plan.slug, actor=actor, before=before, after=after, now=now)


def archive(plan: Plan, *, archived: bool, actor: User, reason: str, now: datetime) -> None:
    """Offer a plan to nobody new, or again."""
    plan.archived_at = now if archived else None
    with transaction.atomic():
        plan.save(update_fields=["archived_at"])
        action = "plan.archive" if archived else "plan.offer_again"
        _record(action, plan, {"archived_at": plan.archived_at}, actor=actor, reason=reason, now=now)


def _version(plan: Plan, number: int, offer: Offer, *, actor: User | None, reason: str, now: datetime) -> PlanVersion:
    check(offer)
    version = PlanVersion.objects.create(
        plan=plan,
        number=number,
        period=offer.period,
        fee_nanos=offer.fee_nanos,
        included_credit_nanos=offer.included_credit_nanos,
        rolls_over=offer.rolls_over,
        overdraft_nanos=offer.overdraft_nanos,
        allowed_models=list(offer.allowed_models),
        discount_bp=offer.discount_bp,
        price_list=offer.price_list,
        created_at=now,
        created_by=actor,
        reason=reason,
        **asdict(offer.limits),
    )
    after = {
        "version": number,
        "period": offer.period.value,
        "fee_nanos": offer.fee_nanos,
        "included_credit_nanos": offer.included_credit_nanos,
        "rolls_over": offer.rolls_over,
        "overdraft_nanos": offer.overdraft_nanos,
        "allowed_models": list(offer.allowed_models),
        "discount_bp": offer.discount_bp,
        "price_list": offer.price_list.name if offer.price_list else "",
        **asdict(offer.limits),
    }
    _record("plan.version", plan, after, actor=actor, reason=reason, now=now)
    return version


def _record(
    action: str, plan: Plan, after: dict[str, object], *, actor: User | None, reason: str, now: datetime
) -> None:
    audit.record(action, plan.slug, actor=actor, after=after, reason=reason, now=now)
