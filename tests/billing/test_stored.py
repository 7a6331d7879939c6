"""Whose it is what upstreams store, as the books note it from usage lines."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import ApiKey
from billing import stored
from billing.models import StoredAnswer
from billing.nightly.clearing import clear
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from hotstate.stored import Stored
from tests.cast import make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
CHAT = "chat.completions"


@pytest.fixture
def key(settings: Any, tmp_path: Any, empty_valkey: Any) -> ApiKey:
    storages = {**settings.STORAGES}
    storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = storages
    ensure_partitions(NOW.date())
    make_model()
    return make_key(make_organization())[0]


def post(*lines: dict[str, Any], source: str = "gw-test") -> None:
    told = [{**line, "source": source} for line in lines]
    segment = post_segment(make_segment(raw(*told), source=source).pk, now=datetime.now(UTC) + timedelta(minutes=1))
    assert segment
    assert segment.new == len(lines)


def found(key: ApiKey, name: str = "chat-1", kind: str = CHAT) -> Stored | None:
    return stored.find(key.organization.public_id, kind, name)


def test_a_line_says_who_made_it(key: ApiKey) -> None:
    post(usage_line(key, stored="chat-1", route="7"), usage_line(key, seq=2))
    assert found(key) == Stored("demo-chat", 7)
    assert found(key, kind="responses") is None
    other, _ = make_key(make_organization("Other"))
    assert found(other) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_an_id_that_is_given_again_is_the_newer_answer_s(key: ApiKey, *, reverse: bool) -> None:
    older = usage_line(key, at=NOW - timedelta(seconds=9), stored="chat-1", route="7")
    newer = usage_line(key, at=NOW - timedelta(seconds=5), stored="chat-1", route="8")
    for line in (newer, older) if reverse else (older, newer):
        post(line)
    assert found(key) == Stored("demo-chat", 8)
    assert StoredAnswer.objects.count() == 1


def test_both_in_one_segment_are_one(key: ApiKey) -> None:
    ages = {7: 9, 8: 5, 9: 7}
    post(
        *(
            usage_line(key, at=NOW - timedelta(seconds=ago), stored="chat-1", route=str(route))
            for route, ago in ages.items()
        )
    )
    assert found(key) == Stored("demo-chat", 8)


def test_another_gateway_s_line_says_nothing(key: ApiKey) -> None:
    post(usage_line(key, stored="chat-1", route="7"), source="edge-1")
    assert found(key) is None


def test_it_is_forgotten_in_time(key: ApiKey, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(stored, "BATCH", 2)
    for place in range(5):
        row = (key.organization_id, CHAT, f"chat-{place}", "demo-chat", 7, NOW - timedelta(days=10 * place))
        stored.note([row])
    settings.STORED_DAYS = 15
    night: Any = type("Night", (), {"clock": staticmethod(lambda: NOW)})
    assert clear(night)["stored answers"] == 3
    assert [found(key, f"chat-{place}") is not None for place in range(5)] == [True, True, False, False, False]
