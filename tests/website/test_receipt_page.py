"""One request's receipt: exact, with its decision, and there by itself once it is posted."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from billing.correcting import correct
from billing.correction_rules import one_event, void
from catalog.models import Model
from gateway.http.request_ids import new_request_id
from hotstate import decision_log, holds
from tests.cast import make_model
from tests.website.browsing import use

Browse = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


class TestTheReceipt:
    def test_multiplies_meters_by_prices(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        used = {"input_tokens": 1000, "cached_input_tokens": 10, "output_tokens": 100, "reasoning_tokens": 7}
        event = use(key, model, usage=used)[0]
        page = browse(owner).get(f"/o/{organization.public_id}/requests/{event.id}/").content.decode()
        for text in ("$0.003000000", "$0.000003000", "$0.001500000", "$0.000105000", "at the price of output tokens"):
            assert text in page
        assert f"{event.charge_nanos:,}" == "4,608,000"
        assert "$0.004608000" in page
        assert f"usage:{event.segment_id}:{organization.pk}:{event.time:%Y-%m-%d}" in page

    def test_says_why_nothing_was_charged(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        event = use(key, model, outcome="upstream_error", status=502)[0]
        page = browse(owner).get(f"/o/{organization.public_id}/requests/{event.id}/").content.decode()
        assert "Not charged: a failed request costs nothing." in page
        assert "None: nothing was charged" in page

    def test_shows_the_exact_sum_and_what_rounding_did(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey
    ) -> None:
        model = make_model("thirds", prices={"input_tokens": (1, 3)})
        event = use(key, model, usage={"input_tokens": 2})[0]
        page = browse(owner).get(f"/o/{organization.public_id}/requests/{event.id}/").content.decode()
        for text in ("$0.000000000666666…", "+$0.000000000333333…", "$0.000000001"):
            assert text in page

    def test_shows_the_decision_beside_it_where_that_is_recorded(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model, empty_valkey: Any
    ) -> None:
        event = use(key, model)[0]
        browser, address = browse(owner), f"/o/{organization.public_id}/requests/{event.id}/"
        assert "Every check passed" not in browser.get(address).content.decode()
        at_ms = event.id.int >> 80
        record = decision_log.DecisionRecord(
            id=str(event.id),
            at_ms=at_ms,
            verdict="allowed",
            face="api",
            org=organization.public_id,
            hold_nanos=7,
        )
        fields = {"id": str(event.id), "record": msgspec.json.encode(record)}
        empty_valkey.xadd(decision_log.stream_of(organization.public_id), fields, id=f"{at_ms}-0")
        page = browser.get(address).content.decode()
        assert "Every check passed" in page
        assert "$0.000000007" in page

    def test_shows_what_was_corrected_later(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        event = use(key, model)[0]
        browser, address = browse(owner), f"/o/{organization.public_id}/requests/{event.id}/"
        assert "Charged now" not in browser.get(address).content.decode()
        scope = one_event(event.id)
        correct(scope, void, what="one", reason="An <outage>", actor=None, clock=lambda: datetime.now(UTC))
        page = browser.get(address).content.decode()
        for text in ("Charged at first", "-$0.004500000", "Charged now", "An &lt;outage&gt;"):
            assert text in page

    def test_is_there_while_valkey_is_away(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model, no_valkey: None
    ) -> None:
        event = use(key, model)[0]
        assert browse(owner).get(f"/o/{organization.public_id}/requests/{event.id}/").status_code == 200


class TestBeforeItIsPosted:
    @pytest.mark.parametrize(("state", "words"), [(holds.OPEN, "It is running"), (holds.SETTLED, "It has ended")])
    def test_the_page_says_so_and_looks_until_it_is(
        self,
        browse: Browse,
        owner: User,
        organization: Organization,
        key: ApiKey,
        model: Model,
        empty_valkey: Any,
        state: str,
        words: str,
    ) -> None:
        request_id, org = new_request_id(), organization.public_id
        holds.register(empty_valkey, [holds.Hold(org, str(request_id), state, 4_000, key.public_id)], 2**40)
        browser, address = browse(owner), f"/o/{org}/requests/{request_id}/"
        page = browser.get(address).content.decode()
        assert words in page
        assert "$0.000004" in page
        assert f'hx-get="{address}"' in page
        assert browser.get(address, headers=HTMX).status_code == 204
        use(key, model, id=request_id)
        assert browser.get(address, headers=HTMX)["HX-Refresh"] == "true"
        assert "Exact sum" in browser.get(address).content.decode()

    def test_what_is_no_request_is_not_there(
        self, browse: Browse, owner: User, organization: Organization, empty_valkey: Any
    ) -> None:
        browser, address = browse(owner), f"/o/{organization.public_id}/requests/{uuid4()}/"
        assert browser.get(address).status_code == 404
        # A page that waited for it shows that.
        assert browser.get(address, headers=HTMX)["HX-Refresh"] == "true"

    def test_an_outsider_doesn_t_see_what_is_on_its_way(
        self,
        browse: Browse,
        outsider: User,
        organization: Organization,
        key: ApiKey,
        empty_valkey: Any,
    ) -> None:
        request_id = new_request_id()
        hold = holds.Hold(organization.public_id, str(request_id), holds.OPEN, 4_000, key.public_id)
        holds.register(empty_valkey, [hold], 2**40)
        own = outsider.organizations.get().public_id
        assert browse(outsider).get(f"/o/{own}/requests/{request_id}/").status_code == 404

    def test_without_valkey_the_page_says_that_nobody_can_tell(
        self, browse: Browse, owner: User, organization: Organization, no_valkey: None
    ) -> None:
        page = browse(owner).get(f"/o/{organization.public_id}/requests/{uuid4()}/").content.decode()
        assert "can't be told right now" in page.replace("&#x27;", "'")
