"""Prices as CSV: what goes out can come in; a file with a mistake says where, and changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import User
from billing.drafts.editing import draft_of
from billing.drafts.versions import wanted_of_line
from billing.models import DraftLine, PriceDraft, PriceList
from billing.prices import publish_prices
from billing.tariff import UnitPrice
from catalog.models import Model
from tests.cast import make_model, set_prices
from website import pricesheet

pytestmark = pytest.mark.django_db
IMPORT = "/staff/prices/import/"
HEAD = "model,price_list,meter,from_input_tokens,variant,usd,per_units"


def send(browser: Client, text: str, do: str = "check") -> str:
    return browser.post(IMPORT, {"text": text, "do": do}, follow=True).content.decode()


def exported(browser: Client, address: str = "") -> str:
    answer: Any = browser.get(f"/staff/prices/prices.csv{address}")
    return b"".join(answer).decode()


class TestThereAndBack:
    def test_what_goes_out_comes_in_as_the_same(self, staff_browser: Client, staff: User, model: Model) -> None:
        finer = [
            UnitPrice("input_tokens", 1_234_567_890, 10**6),
            UnitPrice("input_tokens", 2, 3, 200_000),
            UnitPrice("images", 40_000_000, 1, 0, "1024x1024-hd"),
        ]
        now = datetime(2026, 1, 1, tzinfo=UTC)
        publish_prices(
            make_model("finer"),
            finer,
            effective_from=None,
            actor=None,
            reason="",
            now=now,
            off_peak=[{"days": [0], "from": "00:00", "to": "06:00", "basis_points": 5_000}],
        )
        text = exported(staff_browser)
        assert f"{model.public_id},,input_tokens,0,,3.00,1000000\r\n" in text
        assert "finer,,input_tokens,200000,,0.000000002,3\r\n" in text
        page = send(staff_browser, text)
        assert "0 of 2 models would change" in page
        page = send(staff_browser, text.replace("1.23456789", "2.5"), do="put")
        assert "new prices of 1 models" in page
        draft = draft_of(staff)
        assert draft
        wanted = wanted_of_line(draft.lines.get())
        assert set(wanted.prices) == {finer[0]._replace(amount_nanos=2_500_000_000), *finer[1:]}
        assert wanted.off_peak, "they aren't in the file, and stay"

    def test_a_filtered_table_of_another_list_goes_out_so(self, staff_browser: Client, model: Model) -> None:
        own = PriceList.objects.create(name="Partner, Ltd", created_at=datetime.now(UTC))
        now = datetime(2026, 1, 1, tzinfo=UTC)
        publish_prices(model, {"requests": (7, 1)}, effective_from=None, actor=None, reason="", now=now, price_list=own)
        make_model("other")
        text = exported(staff_browser, f"?list={own.pk}&q=demo")
        assert text.splitlines()[1:] == [f'{model.public_id},"Partner, Ltd",requests,0,,0.000000007,1']
        assert "0 of 1 models would change" in send(staff_browser, text)

    def test_the_draft_goes_out_where_there_is_one(self, staff_browser: Client, model: Model) -> None:
        send(staff_browser, f"{HEAD}\n{model.public_id},,requests,0,,1,1", do="put")
        assert exported(staff_browser).splitlines()[1:] == [f"{model.public_id},,requests,0,,1.00,1"]

    def test_a_file_is_read_with_the_mark_that_spreadsheets_write(self, staff_browser: Client, model: Model) -> None:
        text = f"\ufeff{HEAD}\r\n{model.public_id},,requests,,,1,1\r\n\r\n"
        file = SimpleUploadedFile("prices.csv", text.encode(), "text/csv")
        page = staff_browser.post(IMPORT, {"file": file, "do": "check"}).content.decode()
        assert "1 of 1 models would change" in page
        assert "Put into my draft" in page


class TestADryRun:
    def test_says_what_would_change_and_changes_nothing(self, staff_browser: Client, model: Model) -> None:
        page = send(staff_browser, f"{HEAD}\n{model.public_id},,input_tokens,0,,4,1000000")
        for words in ("1 of 1 models would change", "$3.00 → <strong>$4.00", "$15.00 → <strong>none"):
            assert words in page
        assert not PriceDraft.objects.exists()


def large(wrong: dict[int, str] | None = None) -> str:
    """300 models' prices, one a line, some of which are replaced; the head is line 1."""
    lines = [HEAD, *(f"m{place:03},,input_tokens,0,,{place}.5,1000000" for place in range(300))]
    for number, line in (wrong or {}).items():
        lines[number - 1] = line
    return "\n".join(lines)


class TestMistakes:
    @pytest.fixture(autouse=True)
    def _models(self, db: None) -> None:
        now = datetime.now(UTC)
        Model.objects.bulk_create(
            Model(public_id=f"m{place:03}", name="M", owned_by="us", created_at=now) for place in range(300)
        )

    def test_a_file_of_300_models_goes_in(self, staff_browser: Client, django_assert_max_num_queries: Any) -> None:
        with django_assert_max_num_queries(40):
            send(staff_browser, large(), do="put")
        assert DraftLine.objects.count() == 300

    @pytest.mark.parametrize(
        ("line", "complaint"),
        [
            ("m150,,input_tokens,0,,1.0000000001,1000000", "At most nine decimals"),
            ("m150,,input_tokens,0,,-1,1000000", "can’t be negative"),
            ("m150,,input_tokens,0,,99999999999,1000000", "Write a number of dollars"),
            ("m150,,input_tokens,0,,1000001,1", "out of bounds"),
            ('m150,,input_tokens,0,,"1,5",1000000', "Write decimals with a point"),
            ("m150,,input_tokens,0,,,1000000", "Write a number of dollars"),
            ("m150,,bananas,0,,1,1", "“bananas” is not something that is counted"),
            ("nobody,,input_tokens,0,,1,1", "There is no model “nobody”"),
            ("m150,nobody,input_tokens,0,,1,1", "There is no price list “nobody”"),
            ("m150,,input_tokens,0,,1,1M", "per_units, “1M”: write a whole number"),
            ("m150,,input_tokens,0,,1,0", "out of bounds"),
            ("m150,,input_tokens,-5,,1,1", "from_input_tokens, “-5”"),
            ("m150,,input_tokens,0,no good,1,1", "is no variant"),
            ("m150,,input_tokens,0,,1", "has 6 columns; the first one names 7"),
            ("m149,,input_tokens,0,,1,1", "Line 151 has a price of the same already"),
            ("m150,,input_tokens,5000,,1,1", "requests with less input have none"),
        ],
    )
    def test_one_bad_line_of_300_is_named_and_nothing_is_changed(
        self, staff_browser: Client, line: str, complaint: str
    ) -> None:
        for do in ("check", "put"):
            page = send(staff_browser, large({152: line}), do=do)
            assert "Nothing was changed: 1 line" in page
            assert complaint.replace("’", "&#x27;") in page
            assert '<td class="fig">152</td>' in page
            assert line.split(",")[0] in page, "the text is there to be mended"
        assert not PriceDraft.objects.exists()

    def test_all_bad_lines_are_named_in_order(self, staff_browser: Client) -> None:
        found = pricesheet.read(large({200: "m198,,x,0,,1,1", 3: "m001,,y,0,,1,1"})).shown_mistakes
        assert [number for number, _ in found] == [3, 200]

    def test_of_very_many_the_first_are_named(self) -> None:
        sheet = pricesheet.read(large(dict.fromkeys(range(2, 302), "m,,x,0,,1,1")))
        assert (len(sheet.shown_mistakes), sheet.more_mistakes) == (50, 250)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (HEAD, "There is no price in this file"),
            (HEAD.replace(",", ";"), "by commas"),
            (HEAD.replace("usd", "price"), "no column “price”"),
            ("model,meter,usd", "per_units is missing"),
            (f"{HEAD},usd", "usd is there twice"),
            (f'{HEAD}\nm001,,"input', "This is no CSV"),
            (f"{HEAD}\n" + "m" * 200_000, "This is no CSV"),
        ],
    )
    def test_what_is_no_price_file_says_so(self, text: str, complaint: str) -> None:
        ((_, said),) = pricesheet.read(text).mistakes
        assert complaint in said

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"model\xe9"])
    def test_a_file_that_is_not_utf8_says_so(self, staff_browser: Client, content: bytes) -> None:
        page = staff_browser.post(IMPORT, {"file": SimpleUploadedFile("p.csv", content)}).content.decode()
        assert "isn&#x27;t UTF-8" in page

    def test_nothing_sent_says_so(self, staff_browser: Client) -> None:
        assert "Choose a file" in send(staff_browser, "")

    def test_what_is_too_large_is_refused(self, staff_browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("website.forms.price_drafts.MOST_BYTES", 10)
        file = SimpleUploadedFile("p.csv", b"x" * 11)
        assert "more than 10 bytes" in staff_browser.post(IMPORT, {"file": file}).content.decode()


def test_prices_that_changed_since_the_dry_run_are_looked_at_again_when_published(
    staff_browser: Client, staff: User, model: Model
) -> None:
    set_prices(model, {"requests": (1, 1)}, effective_from=datetime(2026, 2, 1, tzinfo=UTC))
    send(staff_browser, f"{HEAD}\n{model.public_id},,requests,0,,2,1", do="put")
    set_prices(model, {"requests": (9, 1)}, effective_from=datetime(2026, 3, 1, tzinfo=UTC))
    draft = draft_of(staff)
    assert draft
    publish: Callable[[], Any] = lambda: staff_browser.post(  # noqa: E731
        f"/staff/prices/drafts/{draft.pk}/publish/", {"starts": "now", "reason": "x"}
    )
    assert "Other prices of" in publish().content.decode()
