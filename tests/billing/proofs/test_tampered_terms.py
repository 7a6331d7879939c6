"""Terms, and what events were priced by: each row that is tampered with turns its proof red."""

from datetime import timedelta

import pytest

from accounts.models import ApiKey, Organization
from billing.models import OrganizationTerms, PriceList, PriceVersion
from billing.superseding import supersede_prices
from billing.terms import KEPT, change_terms
from tests.billing.proofs.conftest import DAY, NEXT_NOON, NOON, forget_outbox, post, red
from tests.billing.proofs.tampering import Tamper, offender
from tests.cast import PRICES, make_key, make_model, make_organization, make_price_list, set_prices

LATER = NEXT_NOON + timedelta(hours=1)
# Half the price until a quarter to twelve on Wednesdays, which NEXT_NOON is of, and something else on Thursdays.
OFF_PEAK = [
    {"days": [1, 2], "from": "22:00", "to": "11:45", "basis_points": 5000},
    {"days": [3], "from": "11:45", "to": "22:00", "basis_points": 7000},
]


@pytest.fixture
def own() -> PriceList:
    """With the public prices, so that only its name tells the difference."""
    return make_price_list("Own")


@pytest.fixture
def buyer(key: ApiKey, own: PriceList) -> ApiKey:
    """Of an organization with a discount until half past eleven, then with a list of its own, and usage of both."""
    organization = make_organization("Buyer")
    by_terms = {"actor": None, "reason": "Agreed"}
    change_terms(organization, now=NOON, own_discount_bp=1000, **by_terms)
    model = PriceVersion.objects.get().model
    set_prices(model, PRICES, price_list=own, effective_from=NOON, off_peak=OFF_PEAK)
    starts = NEXT_NOON - timedelta(minutes=30)
    change_terms(organization, now=NOON, effective_from=starts, own_price_list=own, **by_terms)
    buyer, _ = make_key(organization)
    post(buyer, 8, at=starts - timedelta(milliseconds=1))
    post(buyer, 9, 10, at=starts)
    forget_outbox()
    assert red() == {}
    return buyer


def test_an_event_by_another_list(buyer: ApiKey, own: PriceList, tamper: Tamper) -> None:
    """At the same charge, by a version that is in force."""
    other = make_price_list("Other")
    version = set_prices(PriceVersion.objects.earliest("id").model, PRICES, price_list=other, off_peak=OFF_PEAK)
    tamper("UPDATE billing_usageevent SET price_version_id = %s WHERE seq = 9", version.pk)
    assert f"the prices of list {other.pk}, and by the terms of then it is list {own.pk}" in offender("priced_by_terms")


def test_an_event_by_the_public_list_though_its_organization_had_its_own(
    buyer: ApiKey, own: PriceList, tamper: Tamper
) -> None:
    public = PriceVersion.objects.get(price_list=None)
    tamper(
        "UPDATE billing_usageevent SET price_version_id = %s, multipliers = '{5000}' WHERE seq = 9",
        public.pk,
    )
    assert f"the prices of list public, and by the terms of then it is list {own.pk}" in offender("priced_by_terms")


def test_a_discount_that_was_not_given(key: ApiKey, buyer: ApiKey, tamper: Tamper) -> None:
    """On an event that costs nothing, so that no charge shows it."""
    post(key, 11, at=NEXT_NOON, usage={"output_tokens": 0})
    forget_outbox()
    assert red() == {}
    tamper("UPDATE billing_usageevent SET multipliers = '{9000}' WHERE seq = 11")
    assert "the multipliers {9000}, and by the terms and the time of then they are {}" in offender("priced_by_terms")


def test_an_off_peak_time_that_it_was_not(key: ApiKey, buyer: ApiKey, tamper: Tamper) -> None:
    ends = NEXT_NOON - timedelta(minutes=15)
    post(buyer, 11, at=ends - timedelta(milliseconds=1), usage={"output_tokens": 0})
    post(buyer, 12, at=ends, usage={"output_tokens": 0})
    forget_outbox()
    assert red() == {}
    tamper("UPDATE billing_usageevent SET multipliers = '{}' WHERE seq = 11")
    assert "the multipliers {}, and by the terms and the time of then they are {5000}" in offender("priced_by_terms")
    tamper("UPDATE billing_usageevent SET multipliers = '{5000}' WHERE seq = 11")
    tamper("UPDATE billing_usageevent SET multipliers = '{5000}' WHERE seq = 12")
    assert "the multipliers {5000}, and by the terms and the time of then they are {}" in offender("priced_by_terms")


def test_terms_that_were_edited(buyer: ApiKey, tamper: Tamper) -> None:
    first = OrganizationTerms.objects.filter(organization=buyer.organization).earliest("id")
    tamper("UPDATE billing_organizationterms SET own_discount_bp = 2000 WHERE id = %s", first.pk)
    assert "the multipliers {9000}" in offender("priced_by_terms", "terms")


def test_terms_that_were_moved(buyer: ApiKey, tamper: Tamper) -> None:
    last = OrganizationTerms.objects.filter(organization=buyer.organization).latest("id")
    tamper("UPDATE billing_organizationterms SET effective_from = %s WHERE id = %s", NEXT_NOON, last.pk)
    assert "by the terms of then it is list public" in offender("priced_by_terms", "terms")


def test_an_event_after_its_list_got_a_price(buyer: ApiKey, own: PriceList, tamper: Tamper) -> None:
    model, begins = make_model("other"), NEXT_NOON - timedelta(minutes=5)
    public = PriceVersion.objects.get(model=model)
    set_prices(model, PRICES, price_list=own, effective_from=begins)
    for seq, at in ((11, begins - timedelta(milliseconds=1)), (12, begins)):
        post(buyer, seq, at=at, model="other", usage={"output_tokens": 0})
    forget_outbox()
    assert red() == {}
    tamper("UPDATE billing_usageevent SET price_version_id = %s, multipliers = '{9000}' WHERE seq = 12", public.pk)
    assert f"list public, and by the terms of then it is list {own.pk}" in offender("priced_by_terms")


def test_what_was_superseded_since_is_what_the_posting_saw(buyer: ApiKey, tamper: Tamper) -> None:
    """An own price for a time that is over: what was posted before went by the public list, rightly."""
    model = PriceVersion.objects.earliest("id").model
    hour = NEXT_NOON - timedelta(hours=2), NEXT_NOON - timedelta(hours=1)
    list_of_old = make_price_list("Of old")
    other = make_organization("Other")
    change_terms(other, now=NOON, own_price_list=list_of_old, actor=None, reason="x")
    key, _ = make_key(other)
    post(key, 11, at=hour[0])
    supersede_prices(model, PRICES, *hour, actor=None, reason="x", now=NEXT_NOON, price_list=list_of_old)
    post(key, 12, at=hour[0])
    forget_outbox()
    assert red() == {}
    public = PriceVersion.objects.get(price_list=None)
    tamper("UPDATE billing_usageevent SET price_version_id = %s WHERE seq = 12", public.pk)
    assert f"list public, and by the terms of then it is list {list_of_old.pk}" in offender("priced_by_terms")


@pytest.mark.parametrize(
    "told",
    ["""jsonb_set(terms, '{-1,own_list}', '0')""", """jsonb_set(terms, '{-1,effective_ms}', '1')""", "terms || terms"],
)
def test_terms_that_gateways_are_told(buyer: ApiKey, tamper: Tamper, told: str) -> None:
    tamper(f"UPDATE accounts_organization SET terms = {told} WHERE id = %s", buyer.organization_id)
    assert f"gateways are given for organization {buyer.organization_id} " in offender("terms")


@pytest.mark.parametrize("told", ["terms - 0", "terms - 1", "'[]'"])
def test_terms_that_gateways_are_not_told(buyer: ApiKey, tamper: Tamper, told: str) -> None:
    tamper(f"UPDATE accounts_organization SET terms = {told} WHERE id = %s", buyer.organization_id)
    assert f"gateways are given for organization {buyer.organization_id} " in offender("terms")


def test_models_that_gateways_are_told(buyer: ApiKey, tamper: Tamper) -> None:
    change_terms(buyer.organization, now=LATER, actor=None, reason="x", allowed_models=["b", "a", "b"])
    forget_outbox()
    assert red() == {}
    told = """jsonb_set(terms, '{-1,models}', '["a"]')"""
    tamper(f"UPDATE accounts_organization SET terms = {told} WHERE id = %s", buyer.organization_id)
    assert '"models": ["a"]' in offender("terms")


def test_terms_that_nobody_asks_for_any_more_are_told_or_not(buyer: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE accounts_organization SET terms = terms - 0 WHERE id = %s", buyer.organization_id)
    last = Organization.objects.get(pk=buyer.organization_id).terms[-1]["effective_ms"]
    assert last == (NEXT_NOON - timedelta(minutes=30)).timestamp() * 1000
    over = NEXT_NOON - timedelta(minutes=30) + KEPT
    assert "terms" in red(over - timedelta(milliseconds=1))
    assert "terms" not in red(over)


def test_a_day_is_asked_about_by_itself(buyer: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_usageevent SET multipliers = '{9000}' WHERE seq = 6")
    assert set(red(day=DAY)) == set()
    assert "priced_by_terms" in red(day=NEXT_NOON.date())
