"""What a quarantined line's request holds stays set aside until the line is charged or discarded."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Alarm, ApiKey, User
from billing.models import QuarantinedLine
from billing.posting import post_segment
from billing.quarantine.resolving import discard_line
from hotstate import holds
from hotstate.client import valkey
from hotstate.holds import Hold
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_valkey")]
Committing = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def key() -> ApiKey:
    make_model()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def quarantined(key: ApiKey, *, held_by: ApiKey, **changes: Any) -> tuple[QuarantinedLine, Hold]:
    """A line that can't be charged, and the hold of its request."""
    org = held_by.organization.public_id
    line = usage_line(key, model="never", org=org, charge_nanos=7, **changes)
    hold = Hold(org, str(line["id"]), holds.SETTLED, 7, held_by.public_id)
    holds.register(valkey(), [hold], until_ms=0)
    post_segment(make_segment(raw(line)).pk, now=datetime.now(UTC))
    return QuarantinedLine.objects.get(), hold


def discard(line: QuarantinedLine, committing: Committing) -> None:
    staff = User.objects.create_user(email="staff@example.com", password="x")
    with committing(execute=True):
        assert discard_line(line, actor=staff, reason="a test of ours", now=datetime.now(UTC))


def test_staff_are_told_that_lines_wait(key: ApiKey) -> None:
    _, hold = quarantined(key, held_by=key)
    assert Alarm.objects.get().kind == "usage_quarantined"
    assert holds.find(hold.org, hold.request_id) == hold


def test_discarding_frees_what_is_held(key: ApiKey, django_capture_on_commit_callbacks: Committing) -> None:
    line, hold = quarantined(key, held_by=key)
    discard(line, django_capture_on_commit_callbacks)
    assert holds.find(hold.org, hold.request_id) is None


def test_a_line_that_names_somebody_elses_request_frees_nothing(
    key: ApiKey, django_capture_on_commit_callbacks: Committing
) -> None:
    other = make_key(make_organization())[0]
    line, hold = quarantined(key, held_by=other)
    discard(line, django_capture_on_commit_callbacks)
    assert holds.find(hold.org, hold.request_id) == hold
