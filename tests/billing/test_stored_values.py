"""What a line says is stored as it was said, or not at all."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import ApiKey
from billing.models import QuarantinedLine, UsageEvent
from billing.posting import post_segment
from tests.cast import make_key, make_model, make_organization, make_segment, raw, request_id, usage_line

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> ApiKey:
    make_model()
    return make_key(make_organization())[0]


def post(line: dict[str, Any]) -> UsageEvent | None:
    post_segment(make_segment(raw(line)).pk, now=datetime.now(UTC))
    return UsageEvent.objects.first()


@pytest.mark.parametrize(
    ("took", "stored"),
    [
        (timedelta(0), 0),
        (timedelta(milliseconds=1234), 1234),
        (timedelta(days=1), 86_400_000),
        (timedelta(days=1, milliseconds=1), None),
        (timedelta(days=25), None),
        (-timedelta(milliseconds=1), None),
    ],
)
def test_a_duration_is_that_of_the_request_or_unknown(key: ApiKey, took: timedelta, stored: int | None) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    event = post(usage_line(key, at=at, ended=(at + took).isoformat()))
    assert event
    assert event.duration_ms == stored


@pytest.mark.parametrize("ended", ["9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59"])
def test_an_end_in_another_age_is_unknown(key: ApiKey, ended: str) -> None:
    event = post(usage_line(key, ended=ended))
    assert event
    assert event.duration_ms is None


@pytest.mark.parametrize(
    ("field", "largest"),
    [("seq", 2**62), ("status", 999), ("ttft_ms", 2**31 - 1), ("attempts", 1000), ("estimator", 2**15 - 1)],
)
def test_the_largest_number_is_stored_and_the_next_one_waits(key: ApiKey, field: str, largest: int) -> None:
    event = post(usage_line(key, **{field: largest}))
    assert event
    assert getattr(event, field) == largest
    post(usage_line(key, **{field: largest + 1}))
    post(usage_line(key, **{field: -1}))
    assert list(QuarantinedLine.objects.values_list("reason", flat=True)) == ["malformed"] * 2


def test_the_version_of_our_count_is_kept_with_what_it_estimated(key: ApiKey) -> None:
    post(usage_line(key, estimated=True, estimator=3))
    post(usage_line(key, seq=2))
    assert list(UsageEvent.objects.order_by("seq").values_list("seq", "estimated", "estimator")) == [
        (1, True, 3),
        (2, False, 0),
    ]


@pytest.mark.parametrize("text", ["\\N", "\\.", "a\tb\nc\r\\d\\t", "\x01\x7f\u2028", "schön 🎉", "'\"{}, --", " "])
@pytest.mark.parametrize("field", ["endpoint", "variant", "upstream_request_id"])
def test_a_text_is_stored_to_the_letter(key: ApiKey, field: str, text: str) -> None:
    event = post(usage_line(key, **{field: text}))
    assert event
    assert getattr(event, field) == text


def test_a_source_is_stored_to_the_letter(key: ApiKey) -> None:
    source = "a\tb\\N\n"
    posted = post_segment(make_segment(raw(usage_line(key, source=source)), source=source).pk, now=datetime.now(UTC))
    assert posted
    assert posted.new == 1
    assert UsageEvent.objects.get().source == source


def test_an_id_of_another_year_is_no_number_of_ours(key: ApiKey) -> None:
    post(usage_line(key, id=request_id(datetime(9999, 12, 31, tzinfo=UTC))))
    assert QuarantinedLine.objects.get().reason == "too_early"
