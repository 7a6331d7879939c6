"""A row of everything that has a page, at the vendor."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from accounts import secrets
from accounts.models import Alarm, ApiKey, ApiKeySecret, Membership, Organization, User
from billing.drafts import editing
from billing.drafts.bulk import Percentage
from billing.forecasting import asking, portions
from billing.meters import METERS
from billing.models import (
    NoticeKind,
    PaymentDifference,
    PlanVersion,
    PriceDraft,
    QuarantinedLine,
    SavedCard,
    Segment,
    SequenceGap,
    StatementOrder,
    TopUp,
    UsageEvent,
    UsageSource,
)
from billing.nightly import running
from billing.notices import stopping
from billing.payments import settling
from billing.plans.offering import Offer, create_plan
from billing.promotions import offering
from billing.proofs import runs
from billing.statements import asking as statements
from billing.statements.drawing import draw
from catalog.models import Model
from devstack.bench.population import give_credit
from gateway.faces.credentials import create_credential
from hotstate.models import LapsedHold

DOLLAR = 10**9


def samples(
    key: ApiKey, model: Model, staff: User, clock: Callable[[], datetime]
) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """By parameter of an address, and by page where a page means something else by it."""
    now, organization = clock(), key.organization
    staffs = _of_staff(staff, now)
    members = _of_a_member(key, now)
    run = runs.by_night(now.date(), clock)
    statement = draw(organization, statements.last_closed_day(now), now=now, actor=staff)
    draft = _draft(model, staff, clock)
    order = StatementOrder.objects.create(organization=organization, through=now.date(), asked_by=staff, asked_at=now)
    running.begin_due(now)
    quarantined = QuarantinedLine.objects.latest("pk")
    return {
        "org": organization.public_id,
        "key": key.public_id,
        "request_id": UsageEvent.objects.filter(organization=organization).latest("pk").pk,
        "number": statement.number,
        "draft": draft.pk,
        "route": model.routes.get().pk,
        "model": model.pk,
        "line": quarantined.pk,
        "reason": quarantined.reason,
        "segment": Segment.objects.latest("pk").pk,
        "run": run.pk,
        "night": str(now.date()),
        "step": "prove",
        "order": order.pk,
        "token": stopping.link(Membership.objects.get(user=staff), NoticeKind.LOW_BALANCE)
        .rstrip("/")
        .rpartition("/")[2],
        **members,
        **staffs,
    }, {"model": {"model": model.public_id}, "model_json": {"model": model.public_id}}


def more_pages(org: str) -> dict[str, str]:
    """The same pages, asked for otherwise."""
    return {
        "margins by organization": "/staff/margins/?by=organization&days=90",
        "margins by route": "/staff/margins/?by=route",
        "prices by output": "/staff/prices/?sort=output",
        "prices that are searched": "/staff/prices/?q=lab-1",
        "models that are searched": "/models/?q=lab-1&sort=input",
        "limits of models": "/models/?sort=context",
    }


def _of_a_member(key: ApiKey, now: datetime) -> dict[str, Any]:
    made = secrets.generate("km-sk")
    secret = ApiKeySecret.objects.create(
        api_key=key,
        digest=made.digest,
        pepper_id=made.pepper_id,
        prefix=made.prefix,
        last4=made.last4,
        created_at=now,
    )
    give_credit(list(Organization.objects.all()), now - timedelta(days=2))
    top_ups = TopUp.objects.bulk_create(
        TopUp(
            organization=key.organization,
            state=TopUp.State.EXPIRED,
            amount=2500,
            nanos=25 * DOLLAR,
            currency="usd",
            livemode=False,
            created_at=now,
            closes_at=now + timedelta(hours=1),
            look_at=now + timedelta(days=1),
            customer="cus_1",
            checkout_session=f"cs_{number}",
            payment_intent=f"pi_{number}",
        )
        for number in range(30)
    )
    settling.credit(top_ups[0], now)
    top_ups[0].save()
    card = SavedCard.objects.create(
        organization=key.organization,
        customer="cus_1",
        payment_method="pm_1",
        brand="visa",
        last4="4242",
        exp_month=12,
        exp_year=now.year + 1,
        added_at=now,
    )
    difference = PaymentDifference.objects.create(
        kind=PaymentDifference.Kind.PAYMENT,
        stripe_id="pi_1",
        top_up=top_ups[1],
        livemode=False,
        what="At Stripe 2500 usd were paid, and here nothing is credited",
        day=now.date(),
        found_at=now,
        seen_at=now,
    )
    return {
        "secret": secret.public_id,
        "top_up": top_ups[0].public_id,
        "card": card.public_id,
        "difference": difference.pk,
    }


def _of_staff(staff: User, now: datetime) -> dict[str, Any]:
    gateway, _ = create_credential("vendor", sources=["gw-*"], actor=staff, now=now)
    source = UsageSource.objects.latest("pk")
    gaps = SequenceGap.objects.bulk_create(
        SequenceGap(source=source, first=number * 10, last=number * 10 + 3, found_at=now) for number in range(1, 30)
    )
    holds = LapsedHold.objects.bulk_create(
        LapsedHold(organization="-", request_id=f"request-{number}", key="-", nanos=DOLLAR, lapsed_at=now)
        for number in range(50)
    )
    alarms = Alarm.objects.bulk_create(
        Alarm(kind="usage_differs", subject=f"event {number}", detail="-", raised_at=now, last_seen_at=now)
        for number in range(20)
    )
    for number in range(20):
        offer = Offer(period=PlanVersion.Period.MONTH, fee_nanos=number * DOLLAR, included_credit_nanos=DOLLAR)
        create_plan(f"plan-{number}", f"Plan {number}", offer, public=True, actor=staff, reason="", now=now)
    promotion = offering.create(
        "WELCOME-10",
        10 * DOLLAR,
        note="",
        first_top_up_only=True,
        expires_at=None,
        credit_days=None,
        uses_most=None,
        actor=staff,
        now=now,
    )
    return {
        "gateway": gateway.pk,
        "gap": gaps[0].pk,
        "hold": holds[0].pk,
        "alarm": alarms[0].pk,
        "slug": "plan-1",
        "promotion": promotion.pk,
    }


def _draft(model: Model, staff: User, clock: Callable[[], datetime]) -> PriceDraft:
    """Of all models, with a forecast."""
    draft = editing.open_draft(staff, clock())
    places: Iterable[int] = Model.objects.values_list("pk", flat=True)
    editing.change_all(draft, [(pk, None) for pk in places], Percentage(1_000, "exact", METERS).of, clock())
    portions.carry_out(asking.ask(draft, actor=staff, now=clock()).pk, clock)
    return draft
