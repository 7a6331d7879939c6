"""A line that can't be charged waits with its reason, and holds up no other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import ApiKey
from billing.models import (
    Balance,
    QuarantinedLine,
)
from tests.billing.posted import CHARGE, counts, key, post
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_organization,
    raw,
    usage_line,
)

__all__ = ["key"]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": "key_nobody"}, "unknown_key"),
        ({"model": "no-such-model"}, "unknown_model"),
        ({"org": "org_other"}, "wrong_organization"),
        ({"source": "gw-other"}, "wrong_source"),
        ({"usage": {"images": 1}}, "unpriced"),
        ({"usage": {"input_tokens": -1}}, "malformed"),
        ({"usage": {"bananas": 1}}, "malformed"),
        ({"usage": {"input_tokens": 10**30}}, "malformed"),
        ({"v": 2}, "malformed"),
        ({"time": "2020-01-01T00:00:00.000Z"}, "malformed"),
        ({"endpoint": "a\x00b"}, "malformed"),
    ],
)
def test_a_line_that_cannot_be_charged_waits_with_its_reason(key: ApiKey, change: dict[str, Any], reason: str) -> None:
    segment = post(raw(usage_line(key), {**usage_line(key, seq=2), **change}))
    assert counts(segment) == (2, 1, 0, 1)
    assert QuarantinedLine.objects.get().reason == reason


def test_a_sender_that_is_bound_to_organizations_charges_no_others(key: ApiKey) -> None:
    other = make_organization("Other")
    give_credit(other, DOLLAR)
    foreign, _ = make_key(other)
    mine = key.organization.public_id
    lines = raw(usage_line(key), usage_line(foreign, seq=2), usage_line(foreign, seq=3, org=mine))
    assert counts(post(lines, organizations=[mine])) == (3, 1, 0, 2)
    told = QuarantinedLine.objects.order_by("line").values_list("reason", flat=True)
    assert list(told) == ["foreign_organization", "wrong_organization"]
    assert other.public_id in QuarantinedLine.objects.get(line=2).detail
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE
    assert Balance.objects.get(organization=other).nanos == DOLLAR


@pytest.mark.parametrize(("at", "reason"), [(timedelta(minutes=6), "too_early"), (-timedelta(days=400), "too_old")])
def test_a_line_of_an_impossible_time_waits(key: ApiKey, at: timedelta, reason: str) -> None:
    post(raw(usage_line(key, at=datetime.now(UTC) + at)))
    assert QuarantinedLine.objects.get().reason == reason


def test_a_torn_last_line_waits_and_the_others_are_posted(key: ApiKey) -> None:
    segment = post(raw(usage_line(key)) + b'{"v":1,"id":"0192')
    assert counts(segment) == (2, 1, 0, 1)
    assert QuarantinedLine.objects.get().reason == "torn"


def test_wrong_utf8_and_garbage_wait(key: ApiKey) -> None:
    assert counts(post(raw(b"\xff\xfe", b"[]", b"null", usage_line(key)))) == (4, 1, 0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"key": "key_nobody"},
        {"model": "no-such-model"},
        {"usage": {"images": 1}},
        {"usage": {"input_tokens": -1}},
        {"v": 2},
        {"outcome": "unheard-of"},
    ],
)
def test_a_quarantined_line_is_no_gap(key: ApiKey, change: dict[str, Any]) -> None:
    lines = [usage_line(key, seq=seq) for seq in (5, 6, 7)]
    segment = post(raw({**lines[0], **change}, lines[1], {**lines[2], **change}))
    assert (segment.first_seq, segment.last_seq, segment.quarantined) == (5, 7, 2)


def test_lines_without_a_number_and_those_of_another_source_have_no_place_in_the_sequence(key: ApiKey) -> None:
    stranger = usage_line(key, seq=99, source="gw-other")
    malformed = usage_line(key, seq=99, source="gw-other", v=2)
    segment = post(raw(b"[]", stranger, malformed, usage_line(key, seq=-3), usage_line(key, seq=5)) + b'{"seq":1')
    assert (segment.first_seq, segment.last_seq, segment.quarantined) == (5, 5, 5)
    assert post(raw(b"{}")).first_seq is None


def test_a_line_without_an_end_is_not_read_whole(key: ApiKey) -> None:
    huge = b'{"v":1,"key":"' + b"x" * 300_000
    assert counts(post(raw(huge, usage_line(key)) + huge)) == (3, 1, 0, 2)
    lines = QuarantinedLine.objects.order_by("line")
    assert [(line.reason, len(line.raw) < 70_000) for line in lines] == [("malformed", True)] * 2
