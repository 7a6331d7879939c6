"""One model's prices with tiers, variants and times: published, drafted, refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.drafts.editing import draft_of
from billing.drafts.versions import wanted_of_line
from billing.models import PriceList
from billing.prices import publish_prices
from billing.tariff import UnitPrice
from catalog.models import Model
from tests.cast import PRICES

pytestmark = pytest.mark.django_db
TABLE = "/staff/prices/"


class TestOneModel:
    def typed(self, **fields: str) -> dict[str, Any]:
        return {
            "amount_input_tokens": "3",
            "per_input_tokens": "1000000",
            "meter_finer_0": "input_tokens",
            "tier_finer_0": "200000",
            "variant_finer_0": "",
            "amount_finer_0": "6",
            "per_finer_0": "1000000",
            "days_time_0": ["0", "6"],
            "from_time_0": "16:30",
            "to_time_0": "00:30",
            "percent_time_0": "33.33",
            "starts": "now",
            "reason": "Long context",
            **fields,
        }

    def test_tiers_and_off_peak_times_are_published(self, staff_browser: Client, model: Model) -> None:
        answer = staff_browser.post(f"{TABLE}{model.pk}/", self.typed())
        assert answer.status_code == 302
        version = model.price_versions.latest("pk")
        assert version.off_peak == [{"days": [0, 6], "from": "16:30", "to": "00:30", "basis_points": 3_333}]
        found = [(price.from_input_tokens, price.amount_nanos) for price in version.prices.order_by("pk")]
        assert found == [(0, 3 * 10**9), (200_000, 6 * 10**9)]
        page = staff_browser.get(f"{TABLE}{model.pk}/").content.decode()
        for words in ("33.33", "from 200,000", "Mon, Sun"):
            assert words in page

    def test_or_drafted(self, staff_browser: Client, staff: User, model: Model) -> None:
        answer = staff_browser.post(f"{TABLE}{model.pk}/", self.typed(do="draft", reason=""))
        draft = draft_of(staff)
        assert draft
        assert answer["Location"] == f"{TABLE}drafts/{draft.pk}/"
        wanted = wanted_of_line(draft.lines.get())
        assert wanted.prices == (
            UnitPrice("input_tokens", 3 * 10**9, 10**6),
            UnitPrice("input_tokens", 6 * 10**9, 10**6, 200_000),
        )
        page = staff_browser.get(f"{TABLE}{model.pk}/").content.decode()
        assert 'value="200000"' in page, "the form begins with the draft"

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"tier_finer_0": ""}, "Say from how many input tokens on"),
            ({"tier_finer_0": "-1"}, "greater than or equal to 0"),
            ({"amount_finer_0": "1.0000000001"}, "At most nine decimals"),
            ({"variant_finer_0": "no spaces"}, "is no variant"),
            ({"percent_time_0": "33.333"}, "two decimals"),
            ({"from_time_0": "25:00"}, "Write the times"),
            ({"days_time_0": []}, "days of an off-peak time"),
            ({"meter_finer_0": "output_tokens"}, "requests with less input have none"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, staff_browser: Client, model: Model, fields: dict[str, Any], complaint: str
    ) -> None:
        answer = staff_browser.post(f"{TABLE}{model.pk}/", self.typed(**fields))
        assert answer.status_code == 200
        assert complaint in answer.content.decode()
        assert model.price_versions.count() == 1

    def test_overlapping_times_are_refused(self, staff_browser: Client, model: Model) -> None:
        second = {"days_time_1": ["0"], "from_time_1": "20:00", "to_time_1": "21:00", "percent_time_1": "50"}
        answer = staff_browser.post(f"{TABLE}{model.pk}/", self.typed(**second))
        assert "Two off-peak times overlap on Monday at 20:00" in answer.content.decode()

    def test_the_price_of_another_list_can_be_ended(self, staff_browser: Client, model: Model) -> None:
        own = PriceList.objects.create(name="Partner", created_at=datetime.now(UTC))
        now = datetime.now(UTC)
        publish_prices(model, PRICES, effective_from=None, actor=None, reason="", now=now, price_list=own)
        answer = staff_browser.post(f"{TABLE}{model.pk}/?list={own.pk}", {"starts": "now", "reason": "Ended"})
        assert answer.status_code == 302
        version = own.versions.latest("pk")
        assert (version.reason, version.prices.count()) == ("Ended", 0)
        assert model.price_versions.of_list(None).count() == 1
