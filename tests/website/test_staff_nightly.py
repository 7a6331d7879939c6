"""Staff follow the nights, and do a step again."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.models.audit import AuditEntry
from billing.models import NightlyRun, NightlyStep
from billing.nightly import running

NIGHTLY = "/staff/nightly/"
TODAY = datetime.now(UTC).date()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that workers were told of."""
    names: list[str] = []
    monkeypatch.setattr("billing.nightly.running.enqueue.after_commit", lambda task, *_: names.append(task.name))
    return names


@pytest.fixture
def night(db: None, empty_valkey: Any) -> NightlyRun:
    running.go_on(lambda: datetime(TODAY.year, TODAY.month, TODAY.day, 7, tzinfo=UTC))
    return NightlyRun.objects.get()


def test_before_the_first_night_it_says_so(staff_browser: Client) -> None:
    assert "No night yet" in staff_browser.get(NIGHTLY).content.decode()


def test_every_step_is_shown_with_what_came_of_it(staff_browser: Client, night: NightlyRun) -> None:
    page = staff_browser.get(NIGHTLY).content.decode()
    for step in night.steps.all():
        assert step.name in page
    assert "grants expired: 0" in page
    assert "All done <time" in page
    assert "hx-get" not in page.split("<main")[1]


def test_a_night_that_is_not_done_is_followed(staff_browser: Client, night: NightlyRun) -> None:
    night.steps.filter(name="prove").update(state="failed", error="Red: <b>balances</b>")
    night.steps.filter(name="draw_statements").update(state="running")
    NightlyRun.objects.update(finished_at=None)
    running._note(night, 3, 7)
    part = staff_browser.get(f"{NIGHTLY}{TODAY}/", headers={"HX-Request": "true"}).content.decode()
    assert f'hx-get="{NIGHTLY}{TODAY}/"' in part
    assert "<html" not in part
    for words in ("Red: &lt;b&gt;balances", "3 of 7", "Failed", "Under way"):
        assert words in part


def test_a_step_is_done_again(staff_browser: Client, staff: User, night: NightlyRun, told: list[str]) -> None:
    answer = staff_browser.post(f"{NIGHTLY}{TODAY}/prove/again/", follow=True)
    assert "prove of" in answer.content.decode()
    assert NightlyStep.objects.get(name="prove").state == "waiting"
    assert not NightlyRun.objects.get().finished_at
    assert AuditEntry.objects.get(action="nightly.again").target == f"{TODAY} prove"
    assert told == ["billing.tasks.nightly"]


@pytest.mark.parametrize("path", ["2020-01-01/", "yesterday/", f"{TODAY}/nothing/again/"])
def test_what_is_not_there_is_a_404(staff_browser: Client, night: NightlyRun, path: str) -> None:
    method = staff_browser.post if path.endswith("again/") else staff_browser.get
    assert method(NIGHTLY + path).status_code == 404
