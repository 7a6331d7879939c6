"""Records of other logs become usage lines with the same id each time, in disjoint meters, without any content."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from billing.adapters import FORMATS, again, convert
from billing.adapters.record import derived_id, endpoint_of, outcome_of
from billing.lines import LineError, UsageLine, parse, unread_of
from billing.models import Outcome

STARTED = datetime(2026, 11, 21, 6, 0, 0, 123_000, tzinfo=UTC)
SECONDS = STARTED.timestamp()
KEYMETER_ID = "019e1234-5678-7abc-8def-0123456789ab"
SECRET_WORDS = "tell nobody"


def litellm(**fields: Any) -> dict[str, Any]:
    """As LiteLLM 1.106 writes it, what isn't read left out."""
    return {
        "id": "chatcmpl-1",
        "litellm_call_id": "6e1b5c2e-0f54-4b0e-9f0a-6f6e0c6f9d51",
        "call_type": "acompletion",
        "stream": True,
        "response_cost": 0.0012,
        "status": "success",
        "total_tokens": 30,
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "startTime": SECONDS,
        "endTime": SECONDS + 2.5,
        "completionStartTime": SECONDS + 0.25,
        "model": "openai/gpt-x",
        "model_id": "d1",
        "model_group": "demo-chat",
        "metadata": {
            "user_api_key_hash": None,
            "user_api_key_team_id": "org_A",
            "user_api_key_auth_metadata": {"keymeter_key": "key_A"},
            "usage_object": {
                "prompt_tokens": 20,
                "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 15, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
        },
        "messages": [{"role": "user", "content": SECRET_WORDS}],
        "response": {"choices": [{"message": {"role": "assistant", "content": SECRET_WORDS}}]},
        "model_parameters": {},
        "error_information": {},
        **fields,
    }


def with_usage(usage: Any, **fields: Any) -> dict[str, Any]:
    record = litellm(**fields)
    return {**record, "metadata": {**record["metadata"], "usage_object": usage}}


def envoy_ai(**fields: Any) -> dict[str, Any]:
    return {
        "start_time": "2026-11-21T06:00:00.123Z",
        "method": "POST",
        "x-envoy-origin-path": "/v1/chat/completions",
        "response_code": 200,
        "response_flags": "-",
        "bytes_received": 105,
        "bytes_sent": 432,
        "duration": 1526,
        "x-request-id": "83b63da3-45a9-4196-98b8-1a7f697d6d8d",
        "gen_ai.request.model": "demo-chat",
        "gen_ai.usage.input_tokens": 15,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.total_tokens": 22,
        "gen_ai.provider.name": "default/backend",
        "key": "key_A",
        "org": "org_A",
        **fields,
    }


def access_log(**fields: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-21T06:00:01+00:00",
        "msec": SECONDS + 0.5,
        "request_id": "83b63da345a9419698b81a7f697d6d8d",
        "key": "key_A",
        "org": "org_A",
        "method": "POST",
        "path": "/v1/moderations",
        "status": 200,
        "model": "demo-mod",
        "request_bytes": 100,
        "response_bytes": 200,
        "seconds": 0.5,
        **fields,
    }


RECORDS = {"litellm": litellm, "envoy-ai": envoy_ai, "access-log": access_log}


def converted(format_: str, record: Any, *, find_key: Any = lambda _: None) -> bytes | None:
    raw = record if isinstance(record, bytes) else msgspec.json.encode(record)
    return convert(raw, FORMATS[format_], "edge-1", find_key)


def line(format_: str, record: dict[str, Any], **named: Any) -> UsageLine:
    raw = converted(format_, record, **named)
    assert raw
    return parse(raw)


def complaint(format_: str, record: Any) -> str:
    raw = converted(format_, record)
    assert raw
    with pytest.raises(LineError) as told:
        parse(raw)
    return str(told.value)


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


class TestLiteLLM:
    def test_counts_become_disjoint_meters(self) -> None:
        found = line("litellm", litellm())
        assert found.usage == {
            "requests": 1,
            "input_tokens": 5,
            "cached_input_tokens": 15,
            "output_tokens": 6,
            "reasoning_tokens": 4,
        }
        assert (found.model, found.endpoint, found.stream, found.ttft_ms) == (
            "demo-chat",
            "chat.completions",
            True,
            250,
        )
        assert (found.ended, found.estimated, found.upstream_request_id) == (
            STARTED + timedelta(seconds=2.5),
            False,
            "chatcmpl-1",
        )

    def test_a_record_in_its_callbacks_wrapping_is_the_same(self) -> None:
        assert line("litellm", {"standard_logging_object": litellm()}) == line("litellm", litellm())

    @pytest.mark.parametrize(
        ("call_type", "usage", "fields", "endpoint", "meters"),
        [
            ("aembedding", {"prompt_tokens": 4, "total_tokens": 4}, {}, "embeddings", {"input_tokens": 4}),
            (
                "aresponses",
                {"input_tokens": 4, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}},
                {},
                "responses",
                {"input_tokens": 4, "output_tokens": 1, "reasoning_tokens": 1},
            ),
            (
                "anthropic_messages",
                {"input_tokens": 4, "cache_read_input_tokens": 100, "output_tokens": 2},
                {},
                "messages",
                {"input_tokens": 4, "cached_input_tokens": 100, "output_tokens": 2},
            ),
            ("aimage_generation", None, {"response": {"data": [{}, {}]}}, "images.generations", {"images": 2}),
            (
                "image_generation",
                {"input_tokens": 4, "output_tokens": 1000},
                {},
                "images.generations",
                {"input_tokens": 4, "output_image_tokens": 1000},
            ),
            ("atranscription", {"type": "duration", "seconds": 3.2}, {}, "audio.transcriptions", {"seconds": 4}),
            ("aspeech", None, {"messages": "hello"}, "audio.speech", {"characters": 5}),
            (
                "arerank",
                {"prompt_tokens": 0, "completion_tokens": 0},
                {"response": {"meta": {"billed_units": {"search_units": 3}}}},
                "rerank",
                {"search_units": 3},
            ),
            ("amoderation", None, {}, "moderations", {}),
        ],
    )
    def test_every_endpoint_is_counted_in_its_meters(
        self, call_type: str, usage: Any, fields: Any, endpoint: str, meters: dict[str, int]
    ) -> None:
        bare = {"prompt_tokens": 0, "completion_tokens": 0}
        found = line("litellm", with_usage(usage, call_type=call_type, **{**bare, **fields}))
        counted = {meter: units for meter, units in found.usage.items() if units and meter != "requests"}
        assert (found.endpoint, counted) == (endpoint, meters)

    def test_what_is_missing_is_counted_by_us_and_marked(self) -> None:
        found = line("litellm", with_usage(None, prompt_tokens=0, completion_tokens=0))
        assert (found.estimated, found.estimator) == (True, 1)
        asked = len(msgspec.json.encode([{"role": "user", "content": SECRET_WORDS}]))
        assert found.usage == {"requests": 1, "input_tokens": -(-asked // 4), "output_tokens": 3}

    def test_its_zeros_are_what_nobody_reported(self) -> None:
        found = line("litellm", with_usage({"prompt_tokens": 0, "completion_tokens": 0}))
        assert (found.estimated, found.usage["output_tokens"]) == (True, 3)
        assert not line("litellm", with_usage({"prompt_tokens": 1, "completion_tokens": 0})).estimated

    @pytest.mark.parametrize("messages", [None, [{"role": "user", "content": "redacted-by-litellm"}]])
    def test_what_is_missing_and_can_not_be_counted_waits(self, messages: Any) -> None:
        record = with_usage(None, prompt_tokens=0, completion_tokens=0, messages=messages)
        assert "nothing to count" in complaint("litellm", record)

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [("400", "refused"), ("429", "upstream_error"), ("500", "upstream_error"), ("", "upstream_error")],
    )
    def test_a_failure_is_told_and_takes_no_successs_place(self, code: str, outcome: str) -> None:
        record = litellm(status="failure", error_information={"error_code": code})
        record["metadata"]["user_api_key_auth_metadata"]["keymeter_request_id"] = KEYMETER_ID
        found = line("litellm", record)
        assert (found.outcome, found.usage) == (outcome, {"requests": 1})
        assert found.id not in (UUID(KEYMETER_ID), line("litellm", litellm()).id)

    def test_a_refused_key_is_no_usage(self) -> None:
        assert (
            converted("litellm", litellm(status="failure", error_information={"error_code": "401"}, model_id=""))
            is None
        )

    def test_its_digest_of_a_secret_finds_the_key(self) -> None:
        digest = hashlib.sha256(b"sk-customer").hexdigest()
        record = litellm(
            metadata={**litellm()["metadata"], "user_api_key_auth_metadata": None, "user_api_key_hash": digest}
        )
        assert line("litellm", record, find_key={digest: "key_B"}.get).key == "key_B"
        raw = converted("litellm", record)
        assert raw
        assert "import it" in complaint("litellm", record)
        # Replayed once the key is known, it is read again.
        assert parse(again(raw, "edge-1", {digest: "key_B"}.get)).key == "key_B"

    def test_a_type_of_call_that_nobody_sells_waits(self) -> None:
        assert "create_batch" in complaint("litellm", litellm(call_type="create_batch"))


class TestEnvoyAI:
    def test_counts_become_disjoint_meters(self) -> None:
        details = {
            "gen_ai.usage.cache_read.input_tokens": "10",
            "gen_ai.usage.cache_creation.input_tokens": 2,
            "gen_ai.usage.reasoning_tokens": 3,
        }
        found = line("envoy-ai", envoy_ai(**details))
        assert found.usage == {
            "requests": 1,
            "input_tokens": 3,
            "cached_input_tokens": 10,
            "cache_write_tokens": 2,
            "output_tokens": 4,
            "reasoning_tokens": 3,
        }
        assert found.ended == STARTED + timedelta(milliseconds=1526)

    def test_an_explicit_zero_stays_zero(self) -> None:
        """LiteLLM 37992."""
        zeros = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": "0"}
        found = line("envoy-ai", envoy_ai(**zeros))
        assert found.usage == {"requests": 1, "input_tokens": 0, "output_tokens": 0}

    def test_without_counts_a_good_answer_waits(self) -> None:
        for missing in (None, "-", ""):
            assert "gen_ai.usage" in complaint("envoy-ai", envoy_ai(**{"gen_ai.usage.output_tokens": missing}))

    def test_a_client_that_left_pays_what_was_counted_until_then(self) -> None:
        """LiteLLM 14457: nothing was charged at all; new-api 4168: the whole prompt before any output."""
        left = line("envoy-ai", envoy_ai(response_flags="DC"))
        assert (left.outcome, left.usage["output_tokens"]) == ("client_disconnected", 7)
        nothing = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None, "bytes_sent": 0}
        assert line("envoy-ai", envoy_ai(response_code=0, **nothing)).usage == {"requests": 1}

    def test_an_upstreams_error_costs_nothing(self) -> None:
        """new-api 5287: an upstream's error text was billed as output."""
        assert line("envoy-ai", envoy_ai(response_code=502)).outcome == "upstream_error"

    def test_what_keymeter_refused_is_no_usage(self) -> None:
        assert converted("envoy-ai", envoy_ai(key="-", response_code=429)) is None
        assert "`key`" in complaint("envoy-ai", envoy_ai(key="-"))


class TestAccessLog:
    def test_a_request_is_counted_from_its_beginning(self) -> None:
        found = line("access-log", access_log())
        assert (found.usage, found.endpoint, found.time) == ({"requests": 1}, "moderations", STARTED)
        assert found.ended == STARTED + timedelta(seconds=0.5)

    def test_envoys_times_are_of_the_beginning(self) -> None:
        told = access_log(time="2026-11-21T06:00:00.123Z", msec=None, seconds=None, milliseconds="500")
        assert (line("access-log", told).time, line("access-log", told).ended) == (
            STARTED,
            STARTED + timedelta(seconds=0.5),
        )

    def test_a_client_that_left_before_the_answer_pays_nothing(self) -> None:
        assert line("access-log", access_log(status=499, response_bytes=0)).usage == {}
        assert line("access-log", access_log(status=499)).usage == {"requests": 1}

    def test_what_keymeter_refused_is_no_usage(self) -> None:
        assert converted("access-log", access_log(key="", status=401)) is None


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
