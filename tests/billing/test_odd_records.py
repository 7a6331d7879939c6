"""Whatever a record or a report says, it is read in no time, and nothing beside it is lost."""

import json
from decimal import Decimal, Overflow
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.adapters import FORMATS, Format, again, convert
from billing.adapters.record import Record
from billing.conventions import CONVENTIONS, meters, whole_seconds
from billing.estimating import output_bytes
from billing.lines import LONGEST_LINE, LineError, parse, unread_of
from billing.reported import bounded
from tests.billing.adapters.records import access_log, envoy_ai, litellm

RECORDS = {"access-log": access_log(), "envoy-ai": envoy_ai(), "litellm": litellm()}
# int() of the greatest of them, or what it makes of them, takes minutes, or all memory there is.
NUMBERS = (
    "1e999990",
    "-1e999990",
    "1e-999990",
    "0e999999",
    "1e99999999",
    "1e99999999999",
    "1e99999999999999999999",
    "9" * 4000,
    "1" * 6000,
    "-1",
    "1e400",
    "0.1",
    "true",
    "null",
    '"1e999990"',
    '"' + "9" * 5000 + '"',
    '"Infinity"',
    '"nan"',
    '"5' + "0" * 5000 + '"',
    '"\\ud800"',
    '"\\u0000"',
    "[]",
    "{}",
    "[" * 900 + "]" * 900,
    '{"a":' * 900 + "1" + "}" * 900,
)
NAMED = {
    "access-log": ["msec", "seconds", "milliseconds", "status", "response_bytes", "request_id", "path", "key", "model"],
    "envoy-ai": [
        "start_time",
        "duration",
        "response_code",
        "bytes_sent",
        "gen_ai.usage.input_tokens",
        "response_flags",
    ],
    "litellm": ["startTime", "endTime", "completionStartTime", "messages", "response", "model_parameters", "metadata"],
}
INSIDE = {
    "metadata": ["usage_object", "user_api_key_auth_metadata", "user_api_key_hash"],
    "error_information": ["error_code"],
    "response": ["choices", "usage", "data"],
}
PLACES = [(name, "", member) for name, members in NAMED.items() for member in members]
PLACES += [("litellm", outer, member) for outer, members in INSIDE.items() for member in members]


def converted(raw: bytes, format_: str) -> bytes | None:
    """A line that is read, or says why it can't be; and the same once more, as it is replayed."""
    line = convert(raw, FORMATS[format_], "edge", lambda digest: None)
    if line is None:
        return None
    assert len(line) <= LONGEST_LINE
    assert b"\n" not in line
    try:
        parse(line)
    except LineError:
        assert unread_of(line)
        again(line, "edge", lambda digest: None)
    return line


def test_no_number_keeps_a_process_busy_or_stops_a_batch() -> None:
    for (format_, outer, member), value in product(PLACES, NUMBERS):
        record = json.loads(json.dumps(RECORDS[format_]))
        (record.setdefault(outer, {}) if outer else record)[member] = "HERE"
        if outer == "error_information":
            record["status"] = "failure"
        for endpoint in ("acompletion", "atranscription", "arerank", "aimage_generation") if outer else ("",):
            if endpoint:
                record["call_type"] = endpoint
            assert converted(json.dumps(record).replace('"HERE"', value).encode(), format_) is not None


@pytest.mark.parametrize("value", NUMBERS)
def test_no_report_of_a_model_server_keeps_a_gateway_busy(value: str) -> None:
    try:
        report = json.loads(value)
    except ValueError:
        report = value
    for found in (report, value):
        assert whole_seconds(found) is None or 0 <= (whole_seconds(found) or 0) <= 10**12
        for usage in (found, {"seconds": found}, {"prompt_tokens": found, "completion_tokens": 1}):
            for convention in CONVENTIONS:
                assert all(units >= 0 for units in (meters(usage, convention=convention) or {}).values())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["-", "", "1e999990", "org_A", "key_A", "2026-11-21T06:00:00Z", "success", "f" * 64, "\x00", "٣"])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed(record: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from([*record, *record.get("metadata", {})])
    return st.dictionaries(names, json_values, max_size=5).map(
        lambda fields: {**record, "metadata": {**record.get("metadata", {}), **fields}, **fields}
    )


@settings(max_examples=300)
@given(st.sampled_from(sorted(RECORDS)).flatmap(lambda name: st.tuples(st.just(name), _changed(RECORDS[name]))))
def test_reading_a_record_never_raises(told: tuple[str, dict[str, Any]]) -> None:
    format_, record = told
    converted(json.dumps(record).encode(), format_)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(RECORDS)), st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())
)
def test_reading_what_is_no_record_never_raises(format_: str, raw: bytes) -> None:
    converted(raw, format_)


@given(
    json_values, st.sampled_from(sorted(CONVENTIONS)), st.sampled_from(["chat.completions", "images.edits", "rerank"])
)
@example({"seconds": Decimal("1e999990")}, "openai", "audio.transcriptions")
def test_reading_a_report_never_raises(usage: Any, convention: str, endpoint: str) -> None:
    for report in (
        usage,
        {"seconds": usage},
        {"prompt_tokens": 3, "completion_tokens": usage, "input_token_details": usage},
    ):
        meters(report, endpoint=endpoint, convention=convention)


@pytest.mark.parametrize("error", [RecursionError, Overflow, ValueError("é" * 10_000), OverflowError])
def test_a_reader_that_fails_costs_one_line(error: Exception) -> None:
    def fail(record: Record) -> dict[str, Any]:
        raise error

    line = convert(b'{"key": "key_A"}', Format("odd", "Odd", fail), "edge", lambda digest: None)
    found = unread_of(line or b"")
    assert found and found.record == {"key": "key_A"} and len(found.reason) <= 300


def test_an_answer_nested_as_deep_as_can_be_is_counted() -> None:
    deep: Any = "four"
    for _ in range(50_000):
        deep = [deep]
    assert output_bytes({"choices": deep}) == 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("999999999999999999", Decimal(10**18 - 1)),
        ("1e18", None),
        ("-1e18", None),
        ("1e-30", Decimal(0)),
        (0.25, Decimal("0.25")),
        (True, None),
        ("NaN", None),
    ],
)
def test_numbers_are_bounded(value: Any, expected: Decimal | None) -> None:
    assert bounded(value) == expected
