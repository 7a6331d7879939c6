"""The nearest price list wins, discounts are off the public one only, and off-peak is the version's that prices."""

from datetime import timedelta

import pytest

from billing.models import PriceList
from billing.rate_card import NOTHING, RateCard, discount_of, rate_card
from billing.tariff import Tariff
from billing.terms import NO_TERMS
from catalog.models import Model
from hotstate.records import Terms
from tests.billing.off_peak_times import MONDAY, NIGHTS
from tests.cast import make_model, make_price_list, set_prices

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
BY_DAY, BY_NIGHT = MONDAY + timedelta(hours=12), MONDAY + timedelta(hours=18)


@pytest.fixture
def model() -> Model:
    model = make_model(prices={"input_tokens": (100, 1)})
    set_prices(model, {"input_tokens": (100, 1)}, effective_from=MONDAY - DAY, off_peak=[NIGHTS])
    return model


@pytest.fixture
def own(model: Model) -> PriceList:
    """From Monday on, and no longer than until Tuesday."""
    price_list = make_price_list("Own")
    set_prices(model, {"input_tokens": (70, 1)}, effective_from=MONDAY, price_list=price_list)
    set_prices(model, {}, effective_from=MONDAY + DAY, price_list=price_list)
    return price_list


@pytest.fixture
def plan(model: Model) -> PriceList:
    price_list = make_price_list("Plan")
    nights = [{**NIGHTS, "basis_points": 9000}]
    set_prices(model, {"input_tokens": (80, 1)}, effective_from=MONDAY, price_list=price_list, off_peak=nights)
    return price_list


def terms(**fields: int | None) -> Terms:
    return Terms(effective_ms=0, **fields)  # type: ignore[arg-type]


def price(model: Model, terms: Terms = NO_TERMS, *, at: object = BY_DAY) -> tuple[int, list[int]]:
    priced = rate_card([model.pk]).tariff(model.pk, at, terms)  # type: ignore[arg-type]
    assert priced
    return priced.tariff.rates.prices["input_tokens"].amount_nanos, priced.multipliers


def test_without_terms_it_is_the_public_list(model: Model, own: PriceList, plan: PriceList) -> None:
    assert price(model) == (100, [])
    assert price(model, at=BY_NIGHT) == (100, [5000])


def test_the_own_list_goes_before_the_plan_s_and_that_before_the_public_one(
    model: Model, own: PriceList, plan: PriceList
) -> None:
    both = terms(own_list=own.pk, plan_list=plan.pk)
    assert price(model, both) == (70, [])
    # The nights are of the version that prices, and the own one has none.
    assert price(model, both, at=BY_NIGHT) == (70, [])
    # Its price ended.
    assert price(model, both, at=BY_DAY + DAY) == (80, [])
    assert price(model, both, at=BY_NIGHT + DAY) == (80, [9000])
    # It hadn't begun.
    assert price(model, both, at=BY_DAY - DAY) == (100, [])
    assert price(model, terms(plan_list=plan.pk)) == (80, [])
    other = make_model("other", prices={"input_tokens": (9, 1)})
    assert price(other, both) == (9, [])


def test_a_discount_is_off_the_public_list_only(model: Model, own: PriceList, plan: PriceList) -> None:
    assert price(model, terms(own_discount_bp=1500)) == (100, [8500])
    assert price(model, terms(own_discount_bp=1500), at=BY_NIGHT) == (100, [8500, 5000])
    assert price(model, terms(own_discount_bp=1500, own_list=own.pk)) == (70, [])
    assert price(model, terms(own_discount_bp=1500, own_list=own.pk), at=BY_DAY + DAY) == (100, [8500])
    assert price(model, terms(own_discount_bp=10_000)) == (100, [0])


@pytest.mark.parametrize(
    ("own", "of_plan", "discount"), [(None, None, None), (None, 2000, 2000), (500, 2000, 500), (0, 2000, 0)]
)
def test_the_own_discount_goes_before_the_plan_s(own: int | None, of_plan: int | None, discount: int | None) -> None:
    assert discount_of(terms(own_discount_bp=own, plan_discount_bp=of_plan)) == discount


def test_a_discount_of_nothing_is_no_multiplier(model: Model) -> None:
    assert price(model, terms(own_discount_bp=0, plan_discount_bp=2000)) == (100, [])


def test_as_it_would_be_were_it_superseded(model: Model, own: PriceList) -> None:
    card = rate_card([model.pk])
    wanted = Tariff(0, {"input_tokens": (1, 1)})

    def at(card: RateCard, days: int, price_list: PriceList | None) -> int:
        priced = card.tariff(model.pk, BY_DAY + days * DAY, terms(own_list=price_list.pk if price_list else None))
        assert priced
        return priced.tariff.rates.prices["input_tokens"].amount_nanos

    period = MONDAY, MONDAY + DAY
    public = card.superseded(model.pk, wanted, *period)
    assert [at(public, days, None) for days in (-1, 0, 1)] == [100, 1, 100]
    assert [at(public, days, own) for days in (-1, 0, 1)] == [100, 70, 100]
    of_list = card.superseded(model.pk, wanted, MONDAY - DAY, MONDAY, own.pk)
    assert [at(of_list, days, own) for days in (-2, -1, 0)] == [100, 1, 70]
    assert [at(of_list, days, None) for days in (-1, 0)] == [100, 100]
    for_ever = card.superseded(model.pk, wanted, MONDAY)
    assert [at(for_ever, days, None) for days in (-1, 0, 900)] == [100, 1, 1]
    new_list = card.superseded(model.pk, wanted, *period, make_price_list("New").pk)
    assert new_list.timelines[model.pk][PriceList.objects.get(name="New").pk].at(MONDAY + DAY) is NOTHING
