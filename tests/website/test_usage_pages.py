"""What members see of their requests: exact, filtered, in pages, and quiet while nothing changes."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from billing.models import UsageEvent
from catalog.models import Model
from tests.cast import make_key, make_model
from tests.website.browsing import use

Browse = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


class TestTheList:
    def test_shows_each_price_to_the_nano_dollar(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        use(key, model, usage={"input_tokens": 7, "output_tokens": 3})
        page = browse(owner).get(f"/o/{organization.public_id}/usage/").content.decode()
        assert "$0.000066000" in page
        assert model.public_id in page

    def test_is_filtered_by_key_and_model(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        other, _ = make_key(organization, name="other")
        mine, theirs = use(key, model)[0], use(other, model)[0]
        elsewhere = use(key, make_model("second"))[0]
        browser = browse(owner)
        address = f"/o/{organization.public_id}/usage/"
        page = browser.get(address, {"key": key.public_id, "model": model.public_id}).content.decode()
        assert f"/requests/{mine.id}/" in page
        assert f"/requests/{theirs.id}/" not in page
        assert f"/requests/{elsewhere.id}/" not in page

    def test_pages_follow_each_other_without_gap_or_double(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        expected = {str(event.id) for event in use(key, model, 120)}
        browser, address = browse(owner), f"/o/{organization.public_id}/usage/"
        seen: list[str] = []
        following: str | None = address
        while following:
            page = browser.get(following).content.decode()
            seen += re.findall(r"/requests/([0-9a-f-]{36})/", page)
            older = re.search(r'href="([^"]*before=[^"]*)"', page)
            following = older[1].replace("&amp;", "&") if older else None
        assert len(seen) == 120
        assert set(seen) == expected
        assert seen == sorted(seen, reverse=True)

    def test_costs_the_same_queries_however_many_requests(
        self,
        browse: Browse,
        owner: User,
        organization: Organization,
        key: ApiKey,
        model: Model,
        django_assert_max_num_queries: Any,
    ) -> None:
        use(key, model, 60)
        browser = browse(owner)
        with django_assert_max_num_queries(10):
            browser.get(f"/o/{organization.public_id}/usage/")
        with django_assert_max_num_queries(13):
            browser.get(f"/o/{organization.public_id}/")

    @pytest.mark.parametrize("page", ["", "usage/"])
    def test_says_nothing_new_until_there_is(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model, page: str
    ) -> None:
        use(key, model)
        browser = browse(owner)
        live = self.live_address(browser.get(f"/o/{organization.public_id}/{page}").content.decode())
        assert browser.get(live, headers=HTMX).status_code == 204
        event = use(key, model)[0]
        fresh = browser.get(live, headers=HTMX).content.decode()
        assert str(event.id) in fresh
        assert "<html" not in fresh
        assert browser.get(self.live_address(fresh), headers=HTMX).status_code == 204

    @staticmethod
    def live_address(page: str) -> str:
        found = re.search(r'data-live[^>]*hx-get="([^"]+)"', page)
        assert found
        return found[1].replace("&amp;", "&")


class TestTheDownload:
    def test_has_every_request_with_exact_decimals(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        use(key, model, 60, usage={"input_tokens": 1, "output_tokens": 0})
        use(key, model, usage={"input_tokens": 123_456_789, "output_tokens": 1})
        answer = browse(owner).get(f"/o/{organization.public_id}/usage/requests.csv")
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))  # type: ignore[attr-defined]
        assert len(rows) == 61
        stored = {str(event.id): event.charge_nanos for event in UsageEvent.objects.all()}
        assert {row["id"]: int(row["charge_usd"].replace(".", "")) for row in rows} == stored
        assert rows[-1]["charge_usd"] == "0.000003000"
        assert max(row["charge_usd"] for row in rows) == "370.370382000"

    def test_has_only_what_is_filtered(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        other, _ = make_key(organization, name="=HYPERLINK(1)")
        use(key, model)
        use(other, model)
        address = f"/o/{organization.public_id}/usage/requests.csv?key={other.public_id}"
        rows = list(csv.DictReader(io.StringIO(browse(owner).get(address).getvalue().decode())))  # type: ignore[attr-defined]
        assert [row["key"] for row in rows] == [other.public_id]
        assert rows[0]["key_name"] == "'=HYPERLINK(1)", "a spreadsheet must not run it"


def test_the_chart_and_its_table_have_the_same_figures(
    browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    charges = [use(key, model, at=yesterday)[0].charge_nanos, use(key, model)[0].charge_nanos]
    page = browse(owner).get(f"/o/{organization.public_id}/").content.decode()
    assert [int(nanos) for nanos in re.findall(r'data-nanos="(\d+)"', page)] == charges[::-1]
    assert re.findall(r"data-model>([^<]+)<", page) == [model.public_id]
