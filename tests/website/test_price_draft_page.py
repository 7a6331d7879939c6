"""A draft is looked at, forecast, published or discarded on its page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from billing.costs import set_cost
from billing.drafts.editing import open_draft, put
from billing.drafts.versions import Wanted
from billing.forecasting import portions
from billing.models import Forecast, PriceDraft, PriceVersion
from billing.tariff import UnitPrice
from catalog.models import Model
from tests.cast import set_prices
from tests.website.browsing import passed_second_factor, person, use

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
NEW = Wanted((UnitPrice("input_tokens", 4 * 10**9, 10**6), UnitPrice("output_tokens", 15 * 10**9, 10**6)))


@pytest.fixture
def draft(staff: User, model: Model) -> PriceDraft:
    draft = open_draft(staff, NOW)
    put(draft, {(model.pk, None): NEW}, NOW)
    return draft


@pytest.fixture
def address(draft: PriceDraft) -> str:
    return f"/staff/prices/drafts/{draft.pk}/"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The forecasts that workers were told of."""
    told: list[int] = []
    monkeypatch.setattr("billing.forecasting.asking.enqueue.after_commit", lambda _task, pk: told.append(pk))
    return told


def test_it_says_what_was_and_what_would_be(staff_browser: Client, address: str, model: Model) -> None:
    page = staff_browser.get(address).content.decode()
    for words in (model.public_id, "$3.00 → <strong>$4.00", "+33 %", "$0.30 → <strong>none", "Publish 1 price"):
        assert words in page
    assert "$15.00" not in page, "what stays isn't told"


def test_it_is_published_with_a_reason(staff_browser: Client, address: str, model: Model, staff: User) -> None:
    answer = staff_browser.post(f"{address}publish/", {"starts": "now", "reason": "Dearer hardware"}, follow=True)
    assert "Published: 1 price from" in answer.content.decode()
    version = model.price_versions.latest("pk")
    assert (version.created_by, version.reason, version.prices.count()) == (staff, "Dearer hardware", 2)


def test_or_scheduled(staff_browser: Client, address: str, model: Model) -> None:
    at = (NOW + timedelta(days=2)).replace(second=0, microsecond=0)
    typed = {"starts": "scheduled", "effective_from": at.strftime("%Y-%m-%dT%H:%M"), "reason": "Announced"}
    staff_browser.post(f"{address}publish/", typed)
    assert model.price_versions.latest("pk").effective_from == at


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"starts": "now", "reason": ""}, "This field is required"),
        ({"starts": "scheduled", "reason": "x"}, "Say when"),
        ({"starts": "scheduled", "effective_from": "2020-01-01T00:00", "reason": "x"}, "This time is over"),
    ],
)
def test_what_is_wrong_is_said(staff_browser: Client, address: str, typed: dict[str, str], complaint: str) -> None:
    assert complaint in staff_browser.post(f"{address}publish/", typed).content.decode()
    assert PriceVersion.objects.count() == 1


def test_newer_prices_are_shown_and_gone_before_only_on_purpose(
    staff_browser: Client, address: str, model: Model
) -> None:
    set_prices(model, {"input_tokens": (1, 1)}, effective_from=NOW - timedelta(hours=1))
    typed = {"starts": "now", "reason": "Dearer"}
    page = staff_browser.post(f"{address}publish/", typed).content.decode()
    for words in ("Other prices of", "newer prices", "Keep the draft’s"):
        assert words in page
    assert PriceVersion.objects.count() == 2
    page = staff_browser.post(f"{address}keep/", typed, follow=True).content.decode()
    assert "$1,000.00" not in page
    assert "$0.000000001 / 1 → <strong>$4.00" in page, "the difference is to what is newer now"
    staff_browser.post(f"{address}publish/", typed)
    assert PriceVersion.objects.count() == 3


def test_a_line_is_taken_out_and_a_draft_discarded(
    staff_browser: Client, address: str, draft: PriceDraft, model: Model
) -> None:
    page = staff_browser.post(f"{address}remove/", {"line": draft.lines.get().pk}, follow=True).content.decode()
    assert "Nothing yet" in page
    staff_browser.post(f"{address}discard/")
    draft.refresh_from_db()
    assert draft.state == PriceDraft.State.DISCARDED
    assert "Discarded" in staff_browser.get(address).content.decode()
    page = staff_browser.post(f"{address}discard/", follow=True).content.decode()
    assert "was discarded meanwhile" in page
    assert "№ " in staff_browser.get("/staff/prices/drafts/").content.decode()


def test_another_person_may_publish_it(browse: Callable[[User], Client], address: str, draft: PriceDraft) -> None:
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    other = person("other@example.com", is_staff=True)
    TOTP.activate(other, generate_totp_secret())
    browser = browse(other)
    passed_second_factor(browser, other)
    browser.post(f"{address}publish/", {"starts": "now", "reason": "Looked at by two"})
    draft.refresh_from_db()
    assert (draft.state, draft.closed_by) == (PriceDraft.State.PUBLISHED, other)


class TestWhatIf:
    def test_it_is_asked_followed_and_read(
        self, staff_browser: Client, address: str, draft: PriceDraft, key: ApiKey, model: Model, told: list[int]
    ) -> None:
        route = model.routes.get()
        cost = [UnitPrice("input_tokens", 10**9, 10**6), UnitPrice("output_tokens", 10**9, 10**6)]
        set_cost(route, cost, effective_from=None, actor=None, reason="", now=NOW)
        use(key, model, 2, route=str(route.pk))
        page = staff_browser.post(f"{address}forecast/ask/", follow=True).content.decode()
        assert "Waiting for a worker" in page
        assert f'hx-get="{address}forecast/"' in page
        portions.carry_out(told[-1], lambda: datetime.now(UTC))
        part = staff_browser.get(f"{address}forecast/", headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in part
        assert "hx-get" not in part, "done, it rests"
        # 1,000 in and 100 out, twice: $0.009 before, $0.011 after; $0.0022 is what they cost.
        for words in ("$0.009000000", "$0.011000000", "+22.22 %", "$0.008800000", "Acme", model.public_id):
            assert words in part
        assert "forecast-head" in staff_browser.get(address).content.decode()

    def test_it_says_what_would_have_no_price(
        self, staff_browser: Client, address: str, draft: PriceDraft, key: ApiKey, model: Model, told: list[int]
    ) -> None:
        put(draft, {(model.pk, None): Wanted((UnitPrice("images", 1),))}, NOW)
        use(key, model)
        staff_browser.post(f"{address}forecast/ask/")
        portions.carry_out(told[-1], lambda: datetime.now(UTC))
        assert "the draft has no price for" in staff_browser.get(address).content.decode()

    def test_it_is_stopped_and_superseded(
        self, staff_browser: Client, address: str, draft: PriceDraft, model: Model, told: list[int]
    ) -> None:
        staff_browser.post(f"{address}forecast/ask/")
        assert "Stopped before" in staff_browser.post(f"{address}forecast/cancel/", follow=True).content.decode()
        staff_browser.post(f"{address}forecast/ask/")
        put(draft, {(model.pk, None): Wanted((UnitPrice("images", 1),))}, NOW)
        assert "ask again" in staff_browser.get(address).content.decode()

    def test_a_result_of_what_the_draft_was_says_so(
        self, staff_browser: Client, address: str, draft: PriceDraft, model: Model, told: list[int]
    ) -> None:
        staff_browser.post(f"{address}forecast/ask/")
        portions.carry_out(told[-1], lambda: datetime.now(UTC))
        assert Forecast.objects.get().state == Forecast.State.DONE
        assert "of what it was" not in staff_browser.get(address).content.decode()
        put(draft, {(model.pk, None): Wanted((UnitPrice("images", 1),))}, NOW)
        assert "of what it was" in staff_browser.get(address).content.decode()


def test_of_an_empty_draft_nothing_is_published(staff_browser: Client, staff: User, told: list[Any]) -> None:
    draft = open_draft(staff, NOW)
    address = f"/staff/prices/drafts/{draft.pk}/"
    for action in ("forecast/ask/", "publish/"):
        page = staff_browser.post(address + action, {"starts": "now", "reason": "x"}, follow=True).content.decode()
        assert "There is nothing in this draft" in page or "Nothing yet" in page
    draft.refresh_from_db()
    assert draft.is_open
