"""Statements on pages, as CSV and as PDF: the same lines, exact, and nobody else's."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pypdf import PdfReader

from accounts.models import ApiKey, Organization, User
from billing import closing
from billing.models import ProofRun, Statement, StatementOrder
from billing.nightly import closing_days
from billing.partitions import ensure_partitions
from billing.statements import drawing
from billing.statements.ordered import carry_out
from catalog.models import Model
from tests.cast import DOLLAR, give_credit
from tests.website.browsing import use

Browse = Callable[[User], Client]
NOW = datetime.now(UTC)
TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)


def close_yesterday() -> None:
    ensure_partitions(TODAY)
    for day in closing_days.open_days(TODAY):
        closing.close_day(day, NOW)


@pytest.fixture
def drawn(key: ApiKey, model: Model) -> Statement:
    """Of yesterday: $2 of credit and a request."""
    give_credit(key.organization, 2 * DOLLAR, now=NOW - timedelta(days=1))
    use(key, model, at=NOW - timedelta(days=1))
    close_yesterday()
    statement = drawing.draw(key.organization, YESTERDAY, now=NOW)
    connection.check_constraints()
    return statement


@pytest.fixture
def proved(db: None) -> ProofRun:
    return ProofRun.objects.create(asked_at=NOW, started_at=NOW, finished_at=NOW, ok=True)


def page(organization: Organization, more: str = "") -> str:
    return f"/o/{organization.public_id}/statements/{more}"


class TestPages:
    def test_before_the_first_one_it_says_so(self, browse: Browse, owner: User, organization: Organization) -> None:
        assert "No statement yet" in browse(owner).get(page(organization)).content.decode()

    def test_they_are_listed_and_each_has_a_page(self, browse: Browse, viewer: User, drawn: Statement) -> None:
        browser = browse(viewer)
        listed = browser.get(page(drawn.organization)).content.decode()
        assert f'href="{page(drawn.organization, "1/")}"' in listed
        shown = browser.get(page(drawn.organization, "1/")).content.decode()
        for words in ("Opening balance", "$2.00", "demo/chat:small", "production", "-$0.0045", "$1.9955"):
            assert words in shown

    def test_one_that_is_not_there_is_a_404(self, browse: Browse, owner: User, drawn: Statement) -> None:
        for more in ("2/", "2/statement.csv", "2/statement.pdf"):
            assert browse(owner).get(page(drawn.organization, more)).status_code == 404

    def test_staff_see_it_as_its_organization_does(self, staff_browser: Client, drawn: Statement) -> None:
        here = f"/staff/organizations/{drawn.organization.public_id}/"
        assert f'href="{here}statements/1/"' in staff_browser.get(here).content.decode()
        assert "demo/chat:small" in staff_browser.get(here + "statements/1/").content.decode()
        for more in ("statement.csv", "statement.pdf"):
            assert staff_browser.get(f"{here}statements/1/{more}").status_code == 200
        assert staff_browser.get(f"{here}statements/9/").status_code == 404

    def test_many_lines_are_paged(
        self, browse: Browse, owner: User, drawn: Statement, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("website.statements.PAGE", 1)
        browser = browse(owner)
        first = browser.get(page(drawn.organization, "1/")).content.decode()
        assert 'href="' + page(drawn.organization, "1/") + '?after=1"' in first
        second = browser.get(page(drawn.organization, "1/?after=1")).content.decode()
        assert "Next lines" not in second
        assert browser.get(page(drawn.organization, "1/?after=x")).status_code == 200

    def test_a_page_asks_the_database_a_bounded_number_of_times(
        self, browse: Browse, owner: User, drawn: Statement
    ) -> None:
        browser = browse(owner)
        with CaptureQueriesContext(connection) as queries:
            browser.get(page(drawn.organization, "1/"))
        assert len(queries) <= 15


def ordered(browser: Client, organization: Organization) -> StatementOrder:
    """What somebody asked for a moment ago."""
    answer = browser.post(page(organization, "draw/"))
    order = StatementOrder.objects.latest("pk")
    assert answer["Location"] == page(organization, f"orders/{order.pk}/")
    return order


def drawn_by_a_worker(order: StatementOrder) -> None:
    carry_out(order.pk, lambda: NOW)
    connection.check_constraints()


class TestOnDemand:
    def test_an_owner_has_one_drawn_by_a_worker(
        self, browse: Browse, owner: User, key: ApiKey, proved: ProofRun
    ) -> None:
        give_credit(key.organization, 5, now=NOW - timedelta(days=1))
        close_yesterday()
        browser = browse(owner)
        order = ordered(browser, key.organization)
        here = page(key.organization, f"orders/{order.pk}/")
        for address in (here, page(key.organization)):
            waiting = browser.get(address).content.decode()
            assert "Waiting for a worker" in waiting
            # It looks again by itself, and by a link.
            assert f'hx-get="{here}"' in waiting
            assert f'<a class="text-link" href="{here}">Look again</a>' in waiting
        StatementOrder.objects.update(started_at=NOW)
        part = browser.get(here, headers={"HX-Request": "true"}).content.decode()
        assert "Being drawn" in part
        assert "<html" not in part
        drawn_by_a_worker(order)
        assert browser.get(here)["Location"] == page(key.organization, "1/")
        assert browser.get(here, headers={"HX-Request": "true"})["HX-Redirect"] == page(key.organization, "1/")
        assert "Waiting for a worker" not in browser.get(page(key.organization)).content.decode()
        assert Statement.objects.get().drawn_by == owner

    def test_why_there_is_none_is_said(
        self, browse: Browse, owner: User, organization: Organization, proved: ProofRun
    ) -> None:
        close_yesterday()
        browser = browse(owner)
        order = ordered(browser, organization)
        drawn_by_a_worker(order)
        shown = browser.get(page(organization, f"orders/{order.pk}/")).content.decode()
        assert "There was neither activity nor a balance." in shown
        assert "hx-get" not in shown.partition("statement-order")[2].partition("</div>")[0]

    def test_nobody_else_sees_what_was_asked_for(
        self, browse: Browse, owner: User, outsider: User, key: ApiKey, proved: ProofRun
    ) -> None:
        close_yesterday()
        order = ordered(browse(owner), key.organization)
        elsewhere = Organization.objects.of(outsider).get()
        for organization in (key.organization, elsewhere):
            assert browse(outsider).get(page(organization, f"orders/{order.pk}/")).status_code == 404

    def test_what_is_stated_already_is_said(
        self, browse: Browse, owner: User, drawn: Statement, proved: ProofRun
    ) -> None:
        answer = browse(owner).post(page(drawn.organization, "draw/"), follow=True)
        assert f"goes through {YESTERDAY} already" in answer.content.decode()
        assert not StatementOrder.objects.exists()

    @pytest.mark.parametrize("ok", [None, False])
    def test_none_is_drawn_on_books_that_are_not_proved(
        self, browse: Browse, owner: User, key: ApiKey, ok: bool | None
    ) -> None:
        give_credit(key.organization, 5, now=NOW - timedelta(days=1))
        if ok is not None:
            ProofRun.objects.create(asked_at=NOW, started_at=NOW, finished_at=NOW, ok=ok)
        answer = browse(owner).post(page(key.organization, "draw/"), follow=True)
        assert "once the books are proved" in answer.content.decode()
        assert not Statement.objects.exists()

    def test_others_only_look(self, browse: Browse, viewer: User, organization: Organization) -> None:
        browser = browse(viewer)
        assert "Draw one now" not in browser.get(page(organization)).content.decode()
        assert browser.post(page(organization, "draw/")).status_code == 403


class TestFiles:
    def rows(self, browser: Client, statement: Statement) -> list[dict[str, str]]:
        answer: Any = browser.get(page(statement.organization, f"{statement.number}/statement.csv"))
        text = b"".join(answer.streaming_content).decode()
        return list(csv.DictReader(io.StringIO(text)))

    def test_the_csv_adds_up_exactly(self, browse: Browse, owner: User, drawn: Statement) -> None:
        rows = self.rows(browse(owner), drawn)
        assert [row["section"] for row in rows] == ["opening", "grant", "usage", "closing"]
        nanos = [int(row["amount_usd"].replace(".", "")) for row in rows]
        assert sum(nanos[:-1]) == nanos[-1] == drawn.closing_nanos
        used = rows[2]
        assert (used["model"], used["key_name"], used["amount_usd"]) == (
            "demo/chat:small",
            "production",
            "-0.004500000",
        )

    def test_no_spreadsheet_runs_a_name(self, browse: Browse, owner: User, key: ApiKey, model: Model) -> None:
        key.name = "=1+1"
        key.save()
        use(key, model, at=NOW - timedelta(days=1))
        close_yesterday()
        statement = drawing.draw(key.organization, YESTERDAY, now=NOW)
        assert self.rows(browse(owner), statement)[1]["key_name"] == "'=1+1"

    def test_the_pdf_has_the_same_lines(self, browse: Browse, owner: User, drawn: Statement) -> None:
        drawn.organization.name = "Müller & Жуков"
        drawn.organization.save()
        answer = browse(owner).get(page(drawn.organization, "1/statement.pdf"))
        assert answer["Content-Type"] == "application/pdf"
        text = "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(answer.content)).pages)
        for words in (
            "Statement 1",
            "Müller & Жуков",
            "demo/chat:small",
            "production",
            "-$0.004500000",
            "$1.995500000",
        ):
            assert words in text

    def test_the_same_statement_is_the_same_pdf(self, browse: Browse, owner: User, drawn: Statement) -> None:
        browser = browse(owner)
        first, second = (browser.get(page(drawn.organization, "1/statement.pdf")).content for _ in range(2))
        assert first == second

    def test_where_there_are_too_many_lines_the_pdf_has_them_by_model(
        self, browse: Browse, owner: User, drawn: Statement, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("website.statement_pdf.MOST_LINES", 0)
        content = browse(owner).get(page(drawn.organization, "1/statement.pdf")).content
        text = PdfReader(io.BytesIO(content)).pages[0].extract_text()
        assert "the CSV has each key" in text
        assert "production" not in text

    def test_a_long_one_has_several_pages(self, drawn: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
        from website import statement_pdf

        monkeypatch.setattr(statement_pdf, "TOP", 200)
        sheets = PdfReader(io.BytesIO(statement_pdf.render(drawn))).pages
        assert len(sheets) > 1
        assert f"page {len(sheets)}" in sheets[-1].extract_text()
