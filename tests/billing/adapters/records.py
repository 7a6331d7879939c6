"""Records of other logs, and what becomes of them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from billing.adapters import FORMATS, convert
from billing.lines import LineError, UsageLine, parse

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
