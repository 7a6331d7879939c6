"""Prices are typed as decimal dollars and stored as whole nano-dollars; what is wrong is said beside the field."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from billing.models import PriceVersion
from catalog.models import Model
from tests.cast import set_prices

pytestmark = pytest.mark.django_db


def typed(**fields: str) -> dict[str, str]:
    return {
        "amount_input_tokens": "0.15",
        "per_input_tokens": "1000000",
        "amount_output_tokens": "$0.6",
        "per_output_tokens": "1000",
        "starts": "now",
        "reason": "Cheaper hardware",
        **{f"per_{meter}": "1" for meter in OTHER_METERS},
        **fields,
    }


OTHER_METERS = [
    "cached_input_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "images",
    "seconds",
    "characters",
    "search_units",
    "requests",
]


def newest(model: Model) -> PriceVersion:
    return model.price_versions.order_by("-pk")[0]


def test_dollars_become_whole_nano_dollars(staff_browser: Client, model: Model, staff: User) -> None:
    before = datetime.now(UTC)
    answer = staff_browser.post(
        f"/staff/prices/{model.pk}/", typed(amount_requests="0.000000001", amount_seconds="0.0043", per_seconds="60")
    )
    assert answer.status_code == 302
    version = newest(model)
    assert {price.meter: (price.amount_nanos, price.per_units) for price in version.prices.all()} == {
        "input_tokens": (150_000_000, 1_000_000),
        "output_tokens": (600_000_000, 1_000),
        "requests": (1, 1),
        "seconds": (4_300_000, 60),
    }
    assert (version.created_by, version.reason) == (staff, "Cheaper hardware")
    assert before < version.effective_from < before + timedelta(seconds=10)


def test_publishing_leaves_an_entry_with_before_and_after(staff_browser: Client, model: Model, staff: User) -> None:
    staff_browser.post(f"/staff/prices/{model.pk}/", typed())
    entry = AuditEntry.objects.get(action="prices.publish")
    assert (entry.actor, entry.staff, entry.reason, entry.target) == (staff, True, "Cheaper hardware", model.public_id)
    assert entry.before["input_tokens"] == [3_000_000_000, 1_000_000]
    assert entry.after["input_tokens"] == [150_000_000, 1_000_000]


def test_a_later_start_is_shown_as_coming(staff_browser: Client, model: Model) -> None:
    at = (datetime.now(UTC) + timedelta(days=2)).replace(second=0, microsecond=0)
    scheduled = typed(starts="scheduled", effective_from=at.strftime("%Y-%m-%dT%H:%M"))
    page = staff_browser.post(f"/staff/prices/{model.pk}/", scheduled, follow=True).content.decode()
    assert newest(model).effective_from == at
    assert "Coming" in page
    assert "$3.00" in page, "what is in force stays until then"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"amount_input_tokens": "1,5"}, "Write decimals with a point"),
        ({"amount_input_tokens": "0.0000000001"}, "At most nine decimals"),
        ({"amount_input_tokens": "-1"}, "negative"),
        ({"amount_input_tokens": "cheap"}, "Write a number of dollars"),
        ({"amount_input_tokens": "", "amount_output_tokens": ""}, "Give at least one price"),
        ({"amount_input_tokens": "9000000000"}, "out of bounds"),
        ({"per_input_tokens": "7"}, "not one of the available choices"),
        ({"starts": "scheduled"}, "Say when"),
        ({"starts": "scheduled", "effective_from": "2020-01-01T00:00"}, "This time is over"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_published(
    staff_browser: Client, model: Model, wrong: dict[str, str], complaint: str
) -> None:
    answer = staff_browser.post(f"/staff/prices/{model.pk}/", typed(**wrong))
    assert answer.status_code == 200
    assert complaint in answer.content.decode()
    assert model.price_versions.count() == 1
    assert not AuditEntry.objects.exists()


def test_what_was_typed_is_kept_beside_the_error(staff_browser: Client, model: Model) -> None:
    page = staff_browser.post(f"/staff/prices/{model.pk}/", typed(amount_images="1,5")).content.decode()
    assert 'value="1,5"' in page
    assert 'id="id_amount_images_error"' in page


def test_the_first_wrong_field_of_the_page_gets_the_focus(staff_browser: Client, model: Model) -> None:
    page = staff_browser.post(f"/staff/prices/{model.pk}/", typed(amount_output_tokens="x", reason="")).content.decode()
    focused = re.findall(r'name="([a-z_]+)"[^>]*autofocus', page)
    assert focused == ["amount_output_tokens"]


def test_the_form_begins_with_what_is_in_force_exactly(staff_browser: Client, model: Model) -> None:
    set_prices(
        model, {"input_tokens": (1_234_567_890_001, 12_345)}, effective_from=datetime.now(UTC) - timedelta(days=1)
    )
    page = staff_browser.get(f"/staff/prices/{model.pk}/").content.decode()
    assert 'value="1234.567890001"' in page
    assert '<option value="12345" selected>' in page


def test_the_list_costs_the_same_queries_however_many_models(
    staff_browser: Client, django_assert_max_num_queries: Any
) -> None:
    for place in range(20):
        listed = Model.objects.create(public_id=f"m{place}", name="m", owned_by="x", created_at=datetime.now(UTC))
        set_prices(listed, {"input_tokens": (place, 1)})
    with django_assert_max_num_queries(11):
        assert staff_browser.get("/staff/prices/").status_code == 200
