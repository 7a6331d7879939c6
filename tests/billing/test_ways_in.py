"""The same event, whichever ways it comes in by, is one event and one charge."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from accounts.models import ApiKey
from billing.adapters import FORMATS, KEYMETER
from billing.batches import Sender, receive_batch, receive_chunk
from billing.models import Balance, HourlyUsage, QuarantinedLine, Segment, UsageEvent
from billing.posting import post_segment
from billing.quarantine.resolving import replay_line
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    make_user,
    raw,
    usage_line,
)
from tests.cast import request_id as request_id_at

pytestmark = pytest.mark.django_db
AT = datetime.now(UTC).replace(microsecond=123_000) - timedelta(seconds=2)
INPUT, OUTPUT, REQUEST = 3_000, 15_000, 7
Way = Callable[[ApiKey, UUID], Segment]


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def key() -> ApiKey:
    organization = make_organization()
    make_model(prices={"input_tokens": (INPUT, 1), "output_tokens": (OUTPUT, 1), "requests": (REQUEST, 1)})
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def native(key: ApiKey, event: UUID, source: str, **fields: Any) -> bytes:
    usage = {"requests": 1, "input_tokens": 5, "output_tokens": 2}
    return raw(usage_line(key, id=event, source=source, usage=usage, **fields))


def by_segment(key: ApiKey, event: UUID) -> Segment:
    return make_segment(native(key, event, "gw-test"))


def by_batch(key: ApiKey, event: UUID) -> Segment:
    sender = Sender(source="ship-1", origin=Segment.Origin.API, credential="shipper", mark="1")
    array = b"[" + native(key, event, "ship-1").strip() + b"]"
    return receive_batch([array], sender, FORMATS[KEYMETER], now=datetime.now(UTC))[0]


def by_file(key: ApiKey, event: UUID) -> Segment:
    sender = Sender(source="file-1", origin=Segment.Origin.FILE)
    return receive_chunk([native(key, event, "file-1")], sender, FORMATS[KEYMETER], now=datetime.now(UTC))[0]


def by_replay(key: ApiKey, event: UUID) -> Segment:
    broken = make_segment(native(key, event, "gw-other", model="no-such-model"), source="gw-other")
    post_segment(broken.pk, now=datetime.now(UTC))
    line = QuarantinedLine.objects.get(segment=broken)
    fixed = native(key, event, "gw-other").strip()
    actor = make_user(f"staff-{uuid4()}@example.com", is_staff=True)
    replay = replay_line(line, actor=actor, now=datetime.now(UTC), text=fixed)
    assert replay
    return replay


def foreign(format_: str, record: dict[str, Any]) -> Segment:
    sender = Sender(source=f"edge-{format_}", origin=Segment.Origin.API, credential="edge", mark="2")
    return receive_batch([msgspec.json.encode(record)], sender, FORMATS[format_], now=datetime.now(UTC))[0]


def by_litellm(key: ApiKey, event: UUID) -> Segment:
    told = {"keymeter_request_id": str(event), "keymeter_key": key.public_id}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    record = {
        "litellm_call_id": "a",
        "call_type": "acompletion",
        "status": "success",
        "startTime": AT.timestamp() + 1,
        "endTime": AT.timestamp() + 2,
        "model_group": "demo-chat",
        "metadata": {"user_api_key_auth_metadata": told, "usage_object": usage},
    }
    return foreign("litellm", record)


def by_envoy_ai(key: ApiKey, event: UUID) -> Segment:
    record = {
        "start_time": AT.isoformat(),
        "x-envoy-origin-path": "/v1/chat/completions",
        "response_code": 200,
        "keymeter_request_id": str(event),
        "gen_ai.request.model": "demo-chat",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "key": key.public_id,
    }
    return foreign("envoy-ai", record)


def by_access_log(key: ApiKey, event: UUID) -> Segment:
    record = {
        "msec": AT.timestamp() + 1,
        "seconds": 1,
        "path": "/v1/chat/completions",
        "status": 200,
        "model": "demo-chat",
        "keymeter_request_id": str(event),
        "key": key.public_id,
    }
    return foreign("access-log", record)


WAYS = [by_segment, by_batch, by_file, by_replay, by_litellm, by_envoy_ai, by_access_log]


@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(*pair, id="-".join(way.__name__ for way in pair)) for pair in product(WAYS, WAYS)],
)
def test_the_same_event_by_any_two_ways_counts_once(key: ApiKey, first: Way, second: Way) -> None:
    """LiteLLM 15740: one request logged twice; sub2api 2332: one stream billed as two requests."""
    event = request_id_at(AT)
    for way in (first, second):
        segment = way(key, event)
        post_segment(segment.pk, now=datetime.now(UTC))
    assert UsageEvent.objects.get().id == event
    charge = REQUEST if first is by_access_log else 5 * INPUT + 2 * OUTPUT + REQUEST
    assert UsageEvent.objects.get().charge_nanos == charge
    assert HourlyUsage.objects.get().events == 1
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - charge


@pytest.mark.parametrize("way", [by_litellm, by_envoy_ai, by_access_log])
def test_a_foreign_record_has_no_number_and_makes_no_gap(key: ApiKey, way: Way) -> None:
    segment = way(key, request_id_at(AT))
    posted = post_segment(segment.pk, now=datetime.now(UTC))
    assert posted and (posted.new, posted.seq_ranges, posted.first_seq) == (1, [], None)
