"""Staff see whether the books are right, ask for proofs, and follow them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from billing import closing
from billing.correcting import correct
from billing.correction_rules import one_event, void
from billing.models import ClosedDay, ProofRun
from billing.proofs import PROOFS, runs
from catalog.models import Model
from tests.website.browsing import use

NOW = datetime.now(UTC)
BOOKS = "/staff/books/"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The runs that workers were told of."""
    told: list[int] = []
    monkeypatch.setattr("billing.proofs.asking.enqueue.after_commit", lambda _task, pk: told.append(pk))
    return told


@pytest.mark.django_db
class TestBooks:
    def test_before_the_first_proof_it_says_so(self, staff_browser: Client) -> None:
        page = staff_browser.get(BOOKS).content.decode()
        for words in ("Not proved yet", "No day is closed yet", "Nothing was corrected yet"):
            assert words in page

    def test_a_proof_is_asked_for_and_followed(self, staff_browser: Client, staff: User, sent: list[int]) -> None:
        answer = staff_browser.post(BOOKS + "prove/", follow=True)
        run = ProofRun.objects.get()
        assert (run.asked_by, run.day, sent) == (staff, None, [run.pk])
        assert "Waiting for a worker" in answer.content.decode()
        assert f'hx-get="{BOOKS}runs/{run.pk}/"' in answer.content.decode()
        runs._note(run, PROOFS[2])
        part = staff_browser.get(f"{BOOKS}runs/{run.pk}/", headers={"HX-Request": "true"}).content.decode()
        assert f"Proof 3 of {len(PROOFS)}" in part
        assert "<html" not in part

    def test_green_proofs_are_shown_with_what_they_say(
        self, staff_browser: Client, key: ApiKey, model: Model, empty_valkey: Any
    ) -> None:
        use(key, model)
        done = runs.carry_out(ProofRun.objects.create(asked_at=NOW).pk, lambda: NOW)
        assert done
        page = staff_browser.get(BOOKS).content.decode()
        assert "The books are right." in page
        for proof in PROOFS:
            assert proof.name in page
        assert "hx-get" not in staff_browser.get(f"{BOOKS}runs/{done.pk}/").content.decode().split("<main")[1]

    def test_a_red_proof_names_its_first_offender(self, staff_browser: Client, empty_valkey: Any) -> None:
        run = ProofRun.objects.create(asked_at=NOW, started_at=NOW, finished_at=NOW, ok=False)
        run.results.create(name="balances", ok=False, checked=7, offender="organization 5: <b>off</b>")
        page = staff_browser.get(BOOKS).content.decode()
        for words in ("The books are not right.", "organization 5: &lt;b&gt;off", "Wrong"):
            assert words in page

    def test_a_day_can_be_proved(self, staff_browser: Client, sent: list[int]) -> None:
        staff_browser.post(BOOKS + "prove/", {"day": "2026-03-10"})
        assert ProofRun.objects.get().day == date(2026, 3, 10)
        assert staff_browser.post(BOOKS + "prove/", {"day": "yesterday"}).status_code == 404

    def test_closed_days_and_corrections_are_listed(self, staff_browser: Client, key: ApiKey, model: Model) -> None:
        event = use(key, model)[0]
        yesterday = NOW.date() - timedelta(days=1)
        closing.close_day(yesterday, NOW)
        assert ClosedDay.objects.count() == 1
        correct(one_event(event.pk), void, what="void it", reason="Tested twice", actor=None, clock=lambda: NOW)
        page = staff_browser.get(BOOKS).content.decode()
        for words in (str(yesterday), "void it", "Tested twice"):
            assert words in page
