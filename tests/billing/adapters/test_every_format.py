"""Records of other logs become usage lines with the same id each time, in disjoint meters, without any content."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.adapters.record import derived_id, endpoint_of, outcome_of
from billing.lines import parse, unread_of
from billing.models import Outcome
from tests.billing.adapters.records import (
    KEYMETER_ID,
    RECORDS,
    SECRET_WORDS,
    STARTED,
    complaint,
    converted,
    line,
    litellm,
)


@pytest.mark.parametrize("format_", RECORDS)
def test_a_record_becomes_the_same_line_each_time(format_: str) -> None:
    """Flexprice 2488: a dedup key with the time of receipt in it. LiteLLM 6633: an empty request id as the key."""
    found = line(format_, RECORDS[format_]())
    assert line(format_, RECORDS[format_]()) == found
    assert (found.id.version, found.time, found.source, found.seq) == (7, STARTED, "edge-1", 0)
    assert (found.key, found.org, found.status, found.outcome) == ("key_A", "org_A", 200, "completed")


@pytest.mark.parametrize(
    ("format_", "names"),
    [
        ("litellm", ("litellm_call_id", "id")),
        ("envoy-ai", ("x-request-id",)),
        ("access-log", ("request_id",)),
    ],
)
def test_a_record_without_an_id_of_its_own_is_taken_for_no_other(format_: str, names: tuple[str, ...]) -> None:
    """Lago 5327: dedup that deleted valid events."""
    other = line(format_, RECORDS[format_](**{names[0]: "other"}))
    assert other.id != line(format_, RECORDS[format_]()).id
    for empty in ("", None, "-"):
        assert "no id of its own" in complaint(format_, RECORDS[format_](**dict.fromkeys(names, empty)))


@pytest.mark.parametrize("format_", RECORDS)
def test_keymeters_request_id_is_the_events(format_: str) -> None:
    record = RECORDS[format_](keymeter_request_id=KEYMETER_ID)
    if format_ == "litellm":
        record["metadata"]["user_api_key_auth_metadata"]["keymeter_request_id"] = KEYMETER_ID
    found = line(format_, record)
    assert found.id == UUID(KEYMETER_ID)
    assert round(found.time.timestamp() * 1000) == found.id.int >> 80


@pytest.mark.parametrize("format_", ["envoy-ai", "access-log"])
def test_an_id_that_a_client_may_have_sent_is_not_believed(format_: str) -> None:
    names = {"x-request-id": KEYMETER_ID, "request_id": KEYMETER_ID}
    assert line(format_, RECORDS[format_](**names)).id != UUID(KEYMETER_ID)
    for wrong in ("x", "83b63da3-45a9-4196-98b8-1a7f697d6d8d"):
        assert "keymeter_request_id" in complaint(format_, RECORDS[format_](keymeter_request_id=wrong))


@pytest.mark.parametrize(
    ("format_", "change"),
    [
        ("access-log", {"key": "key_B"}),
        ("access-log", {"path": "/v1/embeddings"}),
        ("access-log", {"response_bytes": 99}),
        ("envoy-ai", {"key": "key_B"}),
        ("envoy-ai", {"bytes_sent": 433}),
        ("envoy-ai", {"duration": 1527}),
        ("litellm", {"metadata": {**litellm()["metadata"], "user_api_key_auth_metadata": {"keymeter_key": "key_B"}}}),
    ],
)
def test_requests_of_one_moment_with_an_id_that_clients_chose_are_two(format_: str, change: dict[str, Any]) -> None:
    """Else whoever sends the same `x-request-id` with each gets all but the first for nothing."""
    record = RECORDS[format_]()
    assert line(format_, record).id == line(format_, {**record, "unheard-of": 1}).id
    assert line(format_, record).id != line(format_, {**record, **change}).id


def test_ids_of_a_later_record_are_later() -> None:
    ids = [derived_id(STARTED + timedelta(milliseconds=at), "x", str(at)) for at in range(100)]
    assert ids == sorted(ids)
    assert len({str(one)[14] for one in ids}) == 1


@pytest.mark.parametrize("format_", RECORDS)
def test_no_content_is_archived_whatever_goes_wrong(format_: str) -> None:
    content = {
        "messages": SECRET_WORDS,
        "response": {"a": SECRET_WORDS},
        "body": SECRET_WORDS,
        "metadata": {"messages": SECRET_WORDS},
    }
    for wrong in ({}, {"key": None, "metadata": {}}, {"status": "?", "response_code": "?"}):
        raw = converted(format_, RECORDS[format_](**{**content, **wrong}))
        assert raw
        assert SECRET_WORDS.encode() not in raw


@pytest.mark.parametrize("format_", RECORDS)
@pytest.mark.parametrize("raw", [b"", b"null", b"[1]", b"\xff\xfe", b"{", b'"a"', b"\x00", b"[" * 10_000])
def test_garbage_becomes_a_line_that_says_so(format_: str, raw: bytes) -> None:
    assert "not JSON" in complaint(format_, raw) or "not a JSON object" in complaint(format_, raw) or b"\x00" in raw


@pytest.mark.parametrize("format_", RECORDS)
@pytest.mark.parametrize("value", [None, "", -1, 1.5, 10**40, True, [], {}, "x" * 500, "\x00"])
def test_no_value_of_any_member_breaks_the_reading(format_: str, value: Any) -> None:
    for name in RECORDS[format_]():
        raw = converted(format_, RECORDS[format_](**{name: value}))
        if raw is not None and unread_of(raw) is None:
            parse(raw)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "completed"),
        (400, "refused"),
        (404, "refused"),
        (408, "timeout"),
        (429, "upstream_error"),
        (499, "client_disconnected"),
        (0, "client_disconnected"),
        (500, "upstream_error"),
        (504, "timeout"),
    ],
)
def test_a_status_says_how_it_went(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
    assert outcome in Outcome


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/chat/completions?x=1", "chat.completions"),
        ("/openai/v1/completions", "completions"),
        ("/anthropic/v1/messages", "messages"),
        ("/v1/audio/speech/", "audio.speech"),
        ("/own/thing", "own.thing"),
        ("/", "unknown"),
    ],
)
def test_a_path_names_the_endpoint(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint
