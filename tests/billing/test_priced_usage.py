"""Usage is charged by the list, tier, variant, discount and time that hold for it, and every later look agrees."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.models import ApiKey
from billing.correcting import correct
from billing.correction_rules import by_rate_card
from billing.known import Known
from billing.lines import parse
from billing.models import EventCorrection, PriceVersion, Segment, UsageEvent
from billing.partitions import ensure_partitions, first_id
from billing.posting import post_segment
from billing.proofs.proving import prove
from billing.rate_card import rate_card
from billing.rebuilding.comparing import compare
from billing.rebuilding.replaying import replay
from billing.rebuilding.scratch import scratch_schema
from billing.receipts import Reason, receipt
from billing.standing import Scope
from billing.superseding import supersede_prices
from billing.tariff import UnitPrice
from catalog.models import Model
from hotstate.models import OutboxEntry
from tests.billing.off_peak_times import MONDAY, NIGHTS
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_price_list,
    make_segment,
    raw,
    set_prices,
    set_terms,
    usage_line,
)

pytestmark = pytest.mark.django_db
BY_DAY, BY_NIGHT = MONDAY + timedelta(hours=12), MONDAY + timedelta(hours=18)
NEXT_DAY = MONDAY + timedelta(days=1)
WHOLE_DAY = Scope(first_id(MONDAY.date()), first_id(NEXT_DAY.date()))
LONG = 1000
PUBLIC = [
    UnitPrice("input_tokens", 10),
    UnitPrice("input_tokens", 20, from_input_tokens=LONG),
    UnitPrice("images", 40),
    UnitPrice("images", 90, variant="hd"),
]


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def model() -> Model:
    model = make_model(prices=PUBLIC)
    PriceVersion.objects.filter(model=model).update(superseded_at=MONDAY)
    set_prices(model, PUBLIC, off_peak=[NIGHTS])
    return model


def customer(name: str, **terms: Any) -> ApiKey:
    organization = make_organization(name)
    give_credit(organization, DOLLAR, now=MONDAY)
    if terms:
        set_terms(organization, **terms)
    return make_key(organization)[0]


def post(*lines: dict[str, Any]) -> Segment:
    ensure_partitions(MONDAY.date())
    now = MONDAY + timedelta(hours=20)
    posted = post_segment(make_segment(raw(*lines), now=now).pk, now=now)
    assert posted
    return posted


def used(key: ApiKey, at: datetime = BY_DAY, *, units: int = 10, **fields: Any) -> UUID:
    line = usage_line(key, at=at, **{"usage": {"input_tokens": units}, **fields})
    post(line)
    return UUID(line["id"])


def charged(request_id: UUID) -> tuple[int, list[int]]:
    event = UsageEvent.objects.get(pk=request_id)
    return event.charge_nanos, event.multipliers


def assert_books_agree() -> None:
    OutboxEntry.objects.all().delete()
    assert [(it.name, it.offender) for it in prove(NEXT_DAY) if not it.ok] == []
    with scratch_schema() as real:
        found = [replay(real, lambda _: None), *compare(real).values()]
    assert [finding.offender for finding in found if finding.wrong] == []


def test_tiers_variants_and_times(model: Model) -> None:
    key = customer("Acme")
    assert charged(used(key)) == (100, [])
    assert charged(used(key, units=LONG)) == (LONG * 20, [])
    assert charged(used(key, BY_NIGHT)) == (50, [5000])
    assert charged(used(key, usage={"images": 2}, variant="hd")) == (180, [])
    assert charged(used(key, usage={"images": 2}, variant="sd")) == (80, [])


def test_each_organization_pays_by_its_own_terms(model: Model) -> None:
    own, plan = make_price_list("Own"), make_price_list("Plan")
    set_prices(model, {"input_tokens": (7, 1)}, price_list=own)
    set_prices(model, {"input_tokens": (8, 1)}, price_list=plan)
    assert charged(used(customer("Nobody"), BY_NIGHT)) == (50, [5000])
    assert charged(used(customer("Plan", plan_price_list=plan, plan_discount_bp=5000), BY_NIGHT)) == (80, [])
    assert charged(used(customer("Own", plan_price_list=plan, own_price_list=own))) == (70, [])
    # 10 × 10 × 0.85 × 0.5 = 42.5, rounded once.
    assert charged(used(customer("Discount", plan_discount_bp=1500), BY_NIGHT)) == (43, [8500, 5000])


def test_terms_hold_from_their_moment_on_for_what_comes_late_too(model: Model) -> None:
    key = customer("Acme", own_discount_bp=1000)
    set_terms(key.organization, effective_from=BY_DAY, own_discount_bp=2000)
    just_before = used(key, BY_DAY - timedelta(milliseconds=1))
    assert (charged(just_before), charged(used(key, BY_DAY))) == ((90, [9000]), (80, [8000]))


def test_the_terms_of_a_portion_are_one_query(model: Model, django_assert_num_queries: Any) -> None:
    keys = [customer(f"Customer {number}", own_discount_bp=number * 100) for number in range(1, 6)]
    portion = [parse(raw(usage_line(key)).strip()) for key in keys]
    known = Known()
    # Keys, terms, models, routes, price versions and their prices.
    with django_assert_num_queries(6):
        known.learn(portion)
    assert [known.terms[key.organization_id][0].own_discount_bp for key in keys] == [100, 200, 300, 400, 500]
    with django_assert_num_queries(0):
        known.learn(portion)


def test_a_superseding_price_concerns_the_usage_of_its_list_only(model: Model) -> None:
    own = make_price_list("Own")
    set_prices(model, {"input_tokens": (7, 1)}, price_list=own)
    public, special = customer("Public", own_discount_bp=1000), customer("Special", own_price_list=own)
    of_public, of_special, by_night = used(public), used(special), used(public, BY_NIGHT)
    prices = {"input_tokens": (4, 1)}
    supersede_prices(model, prices, MONDAY, NEXT_DAY, actor=None, reason="wrong", now=NEXT_DAY)
    rule = by_rate_card(rate_card([model.pk]))
    correct(WHOLE_DAY, rule, what="prices", reason="wrong", actor=None, clock=lambda: NEXT_DAY)
    made = {made.event_id: (made.new_charge_nanos, made.multipliers) for made in EventCorrection.objects.all()}
    # The off-peak times that stood then hold on.
    assert made == {of_public: (36, [9000]), by_night: (18, [9000, 5000])}
    supersede_prices(
        model, prices, MONDAY, NEXT_DAY, actor=None, reason="wrong", now=NEXT_DAY, price_list=own, off_peak=[NIGHTS]
    )
    rule = by_rate_card(rate_card([model.pk]))
    correct(WHOLE_DAY, rule, what="prices", reason="wrong", actor=None, clock=lambda: NEXT_DAY)
    assert EventCorrection.objects.filter(event_id=of_special).get().new_charge_nanos == 40
    assert EventCorrection.objects.count() == 3
    assert_books_agree()


def test_a_correction_may_bring_another_multiplier(model: Model) -> None:
    by_night = used(customer("Acme"), BY_NIGHT)
    dearer = [{**NIGHTS, "basis_points": 9000}]
    supersede_prices(model, PUBLIC, MONDAY, NEXT_DAY, actor=None, reason="x", now=NEXT_DAY, off_peak=dearer)
    rule = by_rate_card(rate_card([model.pk]))
    correct(WHOLE_DAY, rule, what="prices", reason="x", actor=None, clock=lambda: NEXT_DAY)
    made = EventCorrection.objects.get(event_id=by_night)
    assert (made.new_charge_nanos, made.multipliers) == (90, [9000])
    assert charged(by_night) == (50, [5000])
    assert_books_agree()


def test_an_own_price_that_was_wrong_before_it_began_ends_with_its_period(model: Model) -> None:
    own = make_price_list("Own")
    key = customer("Acme", own_price_list=own)
    supersede_prices(
        model, {"input_tokens": (4, 1)}, MONDAY, BY_DAY, actor=None, reason="x", now=NEXT_DAY, price_list=own
    )
    assert charged(used(key, MONDAY)) == (40, [])
    assert charged(used(key, BY_DAY)) == (100, [])
    again = supersede_prices(
        model, {"input_tokens": (4, 1)}, MONDAY, BY_DAY, actor=None, reason="x", now=NEXT_DAY, price_list=own
    )
    assert again is False


def test_the_receipt_names_tier_variant_and_each_multiplier(model: Model) -> None:
    key = customer("Acme", plan_discount_bp=1500)
    found = receipt(key.organization, used(key, BY_NIGHT, usage={"input_tokens": LONG, "images": 1}, variant="hd"))
    lines = [(line.meter, line.price) for line in found.lines]
    assert lines == [("input_tokens", PUBLIC[1]), ("images", PUBLIC[3])]
    assert found.multipliers == [(Reason.DISCOUNT, 8500), (Reason.OFF_PEAK, 5000)]
    assert found.event.charge_nanos == found.exact_nanos + found.rounding_nanos


def test_the_receipt_of_an_own_price_has_no_discount(model: Model) -> None:
    own = make_price_list("Own")
    set_prices(model, {"input_tokens": (7, 1)}, price_list=own, off_peak=[NIGHTS])
    key = customer("Acme", own_price_list=own, plan_discount_bp=1500)
    assert receipt(key.organization, used(key, BY_NIGHT)).multipliers == [(Reason.OFF_PEAK, 5000)]


def test_what_no_terms_explain_is_named_so(model: Model) -> None:
    key = customer("Acme")
    request_id = used(key, BY_NIGHT)
    UsageEvent.objects.filter(pk=request_id).update(multipliers=[7000])
    assert receipt(key.organization, request_id).multipliers == [(Reason.OTHER, 7000)]


def test_the_books_agree_whatever_the_terms(model: Model) -> None:
    own = make_price_list("Own")
    set_prices(model, {"input_tokens": (7, 3)}, price_list=own, off_peak=[NIGHTS])
    for key in (customer("A"), customer("B", own_discount_bp=333), customer("C", own_price_list=own)):
        for at in (BY_DAY, BY_NIGHT):
            used(key, at)
            used(key, at, units=LONG)
    assert_books_agree()
