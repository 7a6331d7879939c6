"""What tests are about: organizations, keys, models with prices, usage lines."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import redis
import uuid_utils
from django.db import transaction

from accounts.keys import create_key
from accounts.models import ApiKey, Organization, User
from accounts.organizations import open_organization
from billing import ledger
from billing.models import (
    Account,
    CreditGrant,
    Dispute,
    OrganizationTerms,
    PlanVersion,
    PriceList,
    PriceVersion,
    PromotionCode,
    PromotionRedemption,
    Refund,
    Segment,
    TopUp,
    TransactionKind,
)
from billing.payments import disputes, payers, refunds, settling
from billing.payments.seen_back import SeenDispute, SeenRefund
from billing.plans.offering import Offer, create_plan
from billing.prices import write
from billing.promotions import redeeming
from billing.tariff import Prices, unit_prices
from billing.terms import histories
from catalog.models import Model, Route, Upstream
from hotstate import eras, names, publish, scripts
from hotstate.client import valkey
from hotstate.records import OrganizationRecord

DOLLAR = 10**9
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# $3 and $15 per 1M tokens, cached input at a tenth.
PRICES = {
    "input_tokens": (3 * DOLLAR, 10**6),
    "cached_input_tokens": (3 * DOLLAR // 10, 10**6),
    "output_tokens": (15 * DOLLAR, 10**6),
}


def make_user(email: str, **fields: Any) -> User:
    return User.objects.create_user(email, "correct horse battery", **fields)


def make_organization(name: str = "Acme", *, owner: User | None = None, now: datetime | None = None) -> Organization:
    owner = owner or make_user(f"owner-{uuid4().hex}@example.com")
    return open_organization(name=name, owner=owner, now=now or datetime.now(UTC))


def make_key(organization: Organization, **fields: Any) -> tuple[ApiKey, str]:
    settings: dict[str, Any] = {
        "name": "Key",
        "scopes": ["chat", "embeddings", "models"],
        "allowed_models": [],
        "expires_at": None,
        "actor": None,
        "now": datetime.now(UTC),
    }
    return create_key(organization, **{**settings, **fields})


def make_model(
    public_id: str = "demo-chat",
    *,
    prices: Prices | None = None,
    upstream_url: str = "http://127.0.0.1:9/v1",
    **fields: Any,
) -> Model:
    upstream, _ = Upstream.objects.get_or_create(name="test", defaults={"base_url": upstream_url})
    model = Model.objects.create(
        public_id=public_id,
        name=public_id,
        owned_by="keymeter",
        created_at=LONG_AGO,
        **{"families": ["chat", "completions", "embeddings"], **fields},
    )
    Route.objects.create(model=model, upstream=upstream, upstream_model=public_id)
    set_prices(model, PRICES if prices is None else prices)
    return model


def set_prices(
    model: Model,
    prices: Prices,
    *,
    effective_from: datetime = LONG_AGO,
    price_list: PriceList | None = None,
    off_peak: Sequence[Any] = (),
) -> PriceVersion:
    version = PriceVersion(
        model=model,
        price_list=price_list,
        off_peak=list(off_peak),
        effective_from=effective_from,
        created_at=effective_from,
    )
    write(version, unit_prices(prices))
    return version


def make_price_list(name: str = "Enterprise") -> PriceList:
    return PriceList.objects.create(name=name, created_at=LONG_AGO)


def set_terms(organization: Organization, *, effective_from: datetime = LONG_AGO, **fields: Any) -> OrganizationTerms:
    """Terms in the books, whenever they began; gateways aren't told."""
    made = OrganizationTerms.objects.create(
        organization=organization, effective_from=effective_from, created_at=effective_from, **fields
    )
    organization.terms = [msgspec.to_builtins(terms) for terms in histories([organization.pk])[organization.pk]]
    organization.save(update_fields=["terms"])
    return made


def give_credit(
    organization: Organization,
    nanos: int,
    *,
    key: str = "credit",
    priority: int = 50,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> None:
    now = now or datetime.now(UTC)
    terms = ledger.GrantTerms(source=CreditGrant.Source.PROMOTION, priority=priority, expires_at=expires_at)
    movement = ledger.Movement(
        operation_key=f"test:{organization.pk}:{key}",
        kind=TransactionKind.GRANT,
        organization_id=organization.pk,
        nanos=nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        grant=terms,
    )
    ledger.post([movement], now=now)


def request_id(at: datetime) -> UUID:
    """A UUIDv7 of that moment, to the millisecond."""
    random = uuid_utils.uuid7().int & ((1 << 80) - 1)
    return UUID(int=int(at.timestamp() * 1000) << 80 | random)


def usage_line(key: ApiKey, model: str = "demo-chat", *, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """A usage line as a plain object; `raw` makes bytes of it."""
    at = at or datetime.now(UTC) - timedelta(seconds=1)
    identifier = fields.pop("id", None) or request_id(at)
    time = datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
    return {
        "v": 1,
        "id": str(identifier),
        "source": "gw-test",
        "seq": 1,
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "key": key.public_id,
        "model": model,
        "endpoint": "chat.completions",
        "status": 200,
        "outcome": "completed",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
        **fields,
    }


def raw(*lines: dict[str, Any] | bytes) -> bytes:
    encoded = (line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)
    return b"".join(line + b"\n" for line in encoded)


def make_segment(
    content: bytes,
    *,
    identity: str = "",
    source: str = "gw-test",
    organizations: Sequence[str] = (),
    now: datetime | None = None,
) -> Segment:
    from billing.intake import receive_segment

    segment, _ = receive_segment(
        identity or f"segment-{uuid_utils.uuid7()}",
        content,
        source=source,
        origin=Segment.Origin.GATEWAY,
        organizations=organizations,
        now=now or datetime.now(UTC),
    )
    return segment


ERA = "era"


def begin_era(client: redis.Redis) -> None:
    """Let decisions be made with an emptied Valkey: nothing is held, and no gateway has to tell anything."""
    eras.begin(client, None, eras.run_of(client), datetime.now(UTC))
    begun = eras.read(client)
    assert begun
    for field, value in (("state", eras.SERVING), ("published", "1")):
        eras.note(client, begun.id, field, value)


def load_into_era(record: publish.Record) -> None:
    """Publish a record as its loading from PostgreSQL in ERA does it."""
    publish.put(valkey(), record, era=ERA, token="token")
    if isinstance(record, OrganizationRecord):
        valkey().eval(scripts.CONFIRM, 1, names.organization_hash(record.org), ERA, "token")


def make_plan(slug: str = "pro", *, public: bool = True, now: datetime = LONG_AGO, **offered: Any) -> PlanVersion:
    """A plan's first version: monthly, for $20, with $10 of credit that expires, unless it is said otherwise."""
    terms: dict[str, Any] = {
        "period": PlanVersion.Period.MONTH,
        "fee_nanos": 20 * DOLLAR,
        "included_credit_nanos": 10 * DOLLAR,
    }
    offer = Offer(**{**terms, **offered})
    return create_plan(slug, slug.title(), offer, public=public, actor=None, reason="", now=now)


def make_top_up(
    organization: Organization, dollars: int = 25, *, now: datetime | None = None, paid: bool = True
) -> TopUp:
    """One that was credited without a Stripe, or one that waits to be paid."""
    now = now or datetime.now(UTC)
    top_up = TopUp.objects.create(
        organization=organization,
        amount=dollars * 100,
        nanos=dollars * DOLLAR,
        currency="usd",
        livemode=False,
        created_at=now,
        closes_at=now + timedelta(hours=1),
        look_at=now + timedelta(hours=1),
        looked_at=now,
        customer="cus_1",
        checkout_session=f"cs_{uuid4().hex}",
        payment_intent=f"pi_{uuid4().hex}",
    )
    if paid:
        settling.credit(top_up, now)
        top_up.save()
    return top_up


def make_refund(top_up: TopUp, dollars: int = 5, *, now: datetime | None = None, failed: bool = False) -> Refund:
    """Of a top-up that was credited, as if it had been made at Stripe; with `failed`, one that the bank sent back."""
    now = now or datetime.now(UTC)
    seen = SeenRefund(
        id=f"re_{uuid4().hex}",
        reference="",
        payment_intent=str(top_up.payment_intent),
        amount=dollars * 100,
        currency="usd",
        status="succeeded",
        created=now,
    )
    with transaction.atomic():
        made = refunds.note(payers.locked(top_up), seen, now)
        if failed:
            made = refunds.note(payers.locked(top_up), replace(seen, status="failed"), now)
    assert made
    return made


def make_dispute(
    top_up: TopUp,
    dollars: int = 10,
    *,
    now: datetime | None = None,
    status: str = "won",
    withdrawn: bool = True,
    reinstated: bool = True,
) -> Dispute:
    """Of a top-up that was credited: the bank took that, decided, and gave it back."""
    now = now or datetime.now(UTC)
    seen = SeenDispute(
        id=f"du_{uuid4().hex}",
        payment_intent=str(top_up.payment_intent),
        amount=dollars * 100,
        currency="usd",
        livemode=False,
        status=status,
        reason="fraudulent",
        created=now,
        due_by=now + timedelta(days=9),
        withdrawn=withdrawn,
        reinstated=reinstated,
    )
    with transaction.atomic():
        made = disputes.note(payers.locked(top_up), seen, now)
    assert made
    return made


def make_redemption(organization: Organization, *, now: datetime) -> PromotionRedemption:
    """Of a code that gives $10."""
    actor = organization.members.get()
    PromotionCode.objects.create(code="WELCOME", nanos=10 * DOLLAR, created_at=now, created_by=actor)
    return redeeming.redeem(organization, "welcome", actor=actor, now=now)
