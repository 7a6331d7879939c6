"""The staff price table: searched, filtered, edited in place into a draft; with 300 models as with three."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.drafts.editing import draft_of
from billing.drafts.versions import wanted_of_line
from billing.models import PriceDraft, PriceList, PriceVersion
from catalog.models import Model, Visibility
from tests.cast import PRICES, make_model, set_prices
from tests.crowd import MODELS, make_crowd

pytestmark = pytest.mark.django_db
TABLE = "/staff/prices/"


def type_into(browser: Client, model: Model, meter: str, text: str, *, address: str = "") -> str:
    """What htmx sends for a cell that changed, and gets."""
    answer = browser.post(
        f"{TABLE}{model.pk}/cells/{address}",
        {"amount_input_tokens": "3.00", "amount_output_tokens": "15.00", f"amount_{meter}": text},
        headers={"HX-Request": "true", "HX-Trigger-Name": f"amount_{meter}"},
    )
    assert answer.status_code == 200
    return answer.content.decode()


def drafted(staff: User) -> dict[str, dict[str, tuple[int, int]]]:
    draft = draft_of(staff)
    return {
        line.model.public_id: {
            price.meter: (price.amount_nanos, price.per_units) for price in wanted_of_line(line).prices
        }
        for line in (draft.lines.all() if draft else [])
    }


class TestEditingInPlace:
    def test_a_cell_goes_into_ones_own_draft_and_nothing_is_published(
        self, staff_browser: Client, staff: User, model: Model
    ) -> None:
        cell = type_into(staff_browser, model, "input_tokens", "2.5")
        assert drafted(staff) == {model.public_id: {**PRICES, "input_tokens": (2_500_000_000, 10**6)}}
        assert 'value="2.50"' in cell
        assert "was" in cell
        assert "$3.00" in cell
        assert 'hx-swap-oob="true"' in cell, "the number of changes is told at once"
        assert PriceVersion.objects.count() == 1
        assert 'value="2.50"' in staff_browser.get(TABLE).content.decode()

    def test_only_the_cell_that_changed_is_taken(self, staff_browser: Client, staff: User, model: Model) -> None:
        """The others are as the page had them, perhaps long ago."""
        type_into(staff_browser, model, "output_tokens", "20")
        type_into(staff_browser, model, "input_tokens", "2")
        assert drafted(staff)[model.public_id]["output_tokens"] == (20 * 10**9, 10**6)

    def test_typed_back_nothing_is_drafted(self, staff_browser: Client, staff: User, model: Model) -> None:
        type_into(staff_browser, model, "input_tokens", "2.5")
        assert "was" not in type_into(staff_browser, model, "input_tokens", " 3 ").split("draft-bar")[0]
        assert drafted(staff) == {}

    def test_emptied_a_meter_has_no_price(self, staff_browser: Client, staff: User, model: Model) -> None:
        type_into(staff_browser, model, "cached_input_tokens", "")
        assert "cached_input_tokens" not in drafted(staff)[model.public_id]

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("1,5", "Write decimals with a point"),
            ("0.0000000001", "At most nine decimals"),
            ("-1", "negative"),
            ("<b>", "Write a number of dollars"),
            ("9000000000", "out of bounds"),
        ],
    )
    def test_what_is_wrong_is_said_in_the_cell_and_what_was_typed_stays(
        self, staff_browser: Client, staff: User, model: Model, text: str, complaint: str
    ) -> None:
        cell = type_into(staff_browser, model, "input_tokens", text)
        assert complaint in cell
        assert f'value="{text.replace("<", "&lt;").replace(">", "&gt;")}"' in cell
        assert drafted(staff) == {}

    def test_without_javascript_a_row_is_a_form(self, staff_browser: Client, staff: User, model: Model) -> None:
        answer = staff_browser.post(
            f"{TABLE}{model.pk}/cells/?q=demo",
            {"amount_input_tokens": "4", "amount_cached_input_tokens": "0.30", "amount_output_tokens": "16"},
        )
        assert (answer.status_code, answer["Location"]) == (302, f"{TABLE}?q=demo#row-{model.pk}")
        prices = {"input_tokens": (4 * 10**9, 10**6), "output_tokens": (16 * 10**9, 10**6)}
        assert drafted(staff) == {model.public_id: {**PRICES, **prices}}

    def test_without_javascript_complaints_are_on_the_page(
        self, staff_browser: Client, staff: User, model: Model
    ) -> None:
        answer = staff_browser.post(f"{TABLE}{model.pk}/cells/", {"amount_input_tokens": "x"}, follow=True)
        assert "Write a number of dollars" in answer.content.decode()
        assert drafted(staff) == {}

    def test_a_price_that_cannot_be_said_per_million_is_shown_and_left_alone(
        self, staff_browser: Client, staff: User
    ) -> None:
        odd = make_model("odd", prices={"input_tokens": (1, 3)})
        page = staff_browser.get(TABLE).content.decode()
        assert "$0.000000001 / 3" in page
        assert f'form="row-form-{odd.pk}"' in page
        assert f'aria-label="Input of {odd.public_id}"' not in page

    def test_a_price_list_of_its_own_is_edited_apart(self, staff_browser: Client, staff: User, model: Model) -> None:
        own = PriceList.objects.create(name="Partner", created_at=datetime.now(UTC))
        page = staff_browser.get(f"{TABLE}?list={own.pk}").content.decode()
        assert 'value="3.00"' not in page
        type_into(staff_browser, model, "input_tokens", "2", address=f"?list={own.pk}")
        draft = draft_of(staff)
        assert draft
        assert draft.lines.get().price_list == own
        assert 'value="2.00"' not in staff_browser.get(TABLE).content.decode()

    def test_the_draft_of_another_person_is_not_mine(self, staff_browser: Client, staff: User, model: Model) -> None:
        other = User.objects.create_user("other@example.com", "x", is_staff=True)
        now = datetime.now(UTC)
        PriceDraft.objects.create(created_by=other, created_at=now, changed_at=now)
        type_into(staff_browser, model, "input_tokens", "2.5")
        assert draft_of(other) != draft_of(staff)


class TestFinding:
    @pytest.fixture(autouse=True)
    def _models(self, staff_browser: Client) -> None:
        now = datetime.now(UTC)
        make_model("a/cheap", prices={"input_tokens": (1, 1)}, families=["embeddings"])
        make_model("b/dear", prices={"input_tokens": (9, 1)}, visibility=Visibility.HIDDEN)
        make_model("c/free", prices={}, deprecated_at=now - timedelta(days=1))
        make_model("d/gone", prices={"input_tokens": (5, 1)}, shut_down_at=now - timedelta(days=1))
        make_model("e/off", prices={"output_tokens": (5, 1)}, enabled=False)
        set_prices(
            Model.objects.get(public_id="a/cheap"), {"input_tokens": (2, 1)}, effective_from=now + timedelta(days=1)
        )
        type_into(staff_browser, Model.objects.get(public_id="b/dear"), "output_tokens", "1")

    @pytest.mark.parametrize(
        ("address", "found"),
        [
            ("", "abcde"),
            ("q=CHEAP", "a"),
            ("q=keymeter", "abcde"),
            ("q=%25", ""),
            ("family=chat", "bcde"),
            ("family=nonsense", "abcde"),
            ("state=changed", "b"),
            ("state=unpriced", "c"),
            ("state=coming", "a"),
            ("state=hidden", "b"),
            ("state=public", "acde"),
            ("state=deprecated", "c"),
            ("state=shut_down", "d"),
            ("state=disabled", "e"),
            ("sort=input", "adbce"),
            ("sort=output", "ebacd"),
            ("sort=since", "abcde"),
            ("list=999999", "abcde"),
            ("list=x", "abcde"),
        ],
    )
    def test_by_words_kind_state_and_order(self, staff_browser: Client, address: str, found: str) -> None:
        rows = staff_browser.get(f"{TABLE}?{address}").context["rows"]
        assert "".join(row.model.public_id[0] for row in rows) == found

    def test_nothing_found_says_so(self, staff_browser: Client) -> None:
        assert "No model fits" in staff_browser.get(f"{TABLE}?q=nothing").content.decode()


class TestBulk:
    def change(self, browser: Client, address: str = "", **fields: str) -> Any:
        sent = {"percent": "10", "what": "all", "rounding": "cent", "models": "1", "revision": "0", **fields}
        return browser.post(f"{TABLE}bulk/{address}", sent, follow=True)

    def test_a_percentage_on_what_is_filtered(self, staff_browser: Client, staff: User, model: Model) -> None:
        make_model("other")
        answer = self.change(staff_browser, "?q=demo")
        assert "Your draft has new prices of 1 of 1 model." in answer.content.decode()
        assert drafted(staff) == {
            model.public_id: {
                "input_tokens": (3_300_000_000, 10**6),
                "cached_input_tokens": (330_000_000, 10**6),
                "output_tokens": (16_500_000_000, 10**6),
            }
        }

    def test_of_one_kind_of_meter(self, staff_browser: Client, staff: User, model: Model) -> None:
        self.change(staff_browser, what="output", percent="-50")
        assert drafted(staff)[model.public_id] == {**PRICES, "output_tokens": (7_500_000_000, 10**6)}

    def test_sent_twice_it_counts_once(self, staff_browser: Client, staff: User, model: Model) -> None:
        for _ in range(2):
            answer = self.change(staff_browser)
        assert "Your draft has changed since" in answer.content.decode()
        assert drafted(staff)[model.public_id]["input_tokens"] == (3_300_000_000, 10**6)

    def test_what_was_typed_meanwhile_on_the_same_page_is_no_other_change(
        self, staff_browser: Client, staff: User, model: Model
    ) -> None:
        sent = {"amount_input_tokens": "5"}
        headers = {"HX-Request": "true", "HX-Trigger-Name": "amount_input_tokens"}
        answer = staff_browser.post(f"{TABLE}{model.pk}/cells/", sent, headers=headers).content.decode()
        draft = draft_of(staff)
        assert draft
        assert f'name="revision" form="bulk-form" value="{draft.revision}"' in answer
        self.change(staff_browser, revision=str(draft.revision))
        assert drafted(staff)[model.public_id]["input_tokens"] == (5_500_000_000, 10**6)

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"percent": "x"}, "Write a percentage"),
            ({"percent": "-100"}, "-100 %"),
            ({"percent": "0"}, "not by nothing"),
            ({"models": "7"}, "These are 1 models by now"),
            ({"percent": "-99.99"}, "rounded to nothing"),
        ],
    )
    def test_all_or_nothing(
        self, staff_browser: Client, staff: User, model: Model, fields: dict[str, str], complaint: str
    ) -> None:
        assert complaint in self.change(staff_browser, **fields).content.decode()
        assert drafted(staff) == {}


def test_a_large_vendor_sees_every_page_within_few_queries(
    staff_browser: Client, staff: User, django_assert_max_num_queries: Any
) -> None:
    make_crowd()
    bulk = {"percent": "5", "what": "all", "rounding": "digits", "models": str(MODELS), "revision": "0"}
    with django_assert_max_num_queries(30):
        staff_browser.post(f"{TABLE}bulk/", bulk)
    draft = draft_of(staff)
    assert draft
    assert draft.lines.count() == MODELS
    margins = [f"/staff/margins/?by={group}" for group in ("model", "organization", "route")]
    tables = [
        TABLE,
        f"{TABLE}?sort=input&family=chat",
        f"{TABLE}prices.csv",
        f"{TABLE}drafts/",
        f"{TABLE}drafts/{draft.pk}/",
    ]
    for address in tables + margins:
        with django_assert_max_num_queries(20):
            answer: Any = staff_browser.get(address)
            assert len(b"".join(answer)) > 1_000
    with django_assert_max_num_queries(30):
        staff_browser.post(f"{TABLE}drafts/{draft.pk}/publish/", {"starts": "now", "reason": "A round"})
    draft.refresh_from_db()
    assert draft.state == PriceDraft.State.PUBLISHED
    assert PriceVersion.objects.filter(reason="A round").count() == MODELS
