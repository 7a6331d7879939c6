"""What the database refuses of prices and terms, whoever writes them."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from billing.models import OrganizationTerms, Price, PriceList, PriceVersion
from catalog.models import Model
from tests.cast import LONG_AGO, make_model, make_organization, make_price_list

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Model:
    return make_model()


@pytest.fixture
def enterprise() -> PriceList:
    return make_price_list()


def begin(model: Model, price_list: PriceList | None) -> PriceVersion:
    with transaction.atomic():
        return PriceVersion.objects.create(
            model=model, price_list=price_list, effective_from=LONG_AGO, created_at=LONG_AGO
        )


def test_two_versions_of_a_list_never_start_together(model: Model, enterprise: PriceList) -> None:
    """Lago 4227: NULLs are distinct, so a unique index was none. Here the public list is a NULL."""
    own = begin(model, enterprise)
    for price_list in (None, enterprise):
        with pytest.raises(IntegrityError, match="do_not_overlap"):
            begin(model, price_list)
    PriceVersion.objects.filter(pk=own.pk).update(superseded_at=LONG_AGO)
    begin(model, enterprise)


def test_a_meter_has_one_price_by_tier_and_variant(model: Model) -> None:
    version = PriceVersion.objects.get()
    fields = {"version": version, "meter": "input_tokens", "amount_nanos": 1, "per_units": 1}
    for place in ({"from_input_tokens": 200_000}, {"variant": "hd"}, {"from_input_tokens": 200_000, "variant": "hd"}):
        Price.objects.create(**fields, **place)
        with pytest.raises(IntegrityError, match="one_price_per_meter"), transaction.atomic():
            Price.objects.create(**fields, **place)


def test_terms_are_never_edited_nor_taken_away() -> None:
    terms = OrganizationTerms.objects.create(
        organization=make_organization(), effective_from=LONG_AGO, created_at=LONG_AGO
    )
    rows = OrganizationTerms.objects.filter(pk=terms.pk)
    for change in (lambda: rows.update(own_discount_bp=5_000), rows.delete):
        with pytest.raises(IntegrityError, match="append"), transaction.atomic():
            change()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"effective_from": LONG_AGO - timedelta(seconds=1)}, "terms_start_ahead"),
        ({"own_discount_bp": 10_001}, "discount"),
        ({"plan_discount_bp": 10_001}, "discount"),
    ],
)
def test_terms_never_reach_back_nor_give_more_than_all(fields: dict[str, object], words: str) -> None:
    values = {"organization": make_organization(), "effective_from": LONG_AGO, "created_at": LONG_AGO, **fields}
    with pytest.raises(IntegrityError, match=words):
        OrganizationTerms.objects.create(**values)
