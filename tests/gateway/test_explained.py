"""Why was it refused? What the decision saw then is kept, and a dry run tells without taking anything."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey
from gateway.faces import dry_run
from hotstate import decision_log, names
from hotstate.client import valkey
from hotstate.decision_log import DecisionRecord
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_user
from tests.gateway.conftest import Answer, RunningGateway
from tests.waiting import wait_until
from website.explaining import explain

pytestmark = pytest.mark.django_db(transaction=True)


def recorded(answer: Answer, org: str | None = None) -> DecisionRecord:
    request_id = UUID(answer.headers["x-request-id"])
    wait_until(lambda: decision_log.find(request_id, org), "the decision's record")
    record = decision_log.find(request_id, org)
    assert record
    return record


def state_of(key: ApiKey) -> list[Any]:
    """All that the decision could change."""
    return [valkey().hgetall(name) for name in names.decision_keys(key.organization.public_id, key.public_id)[:3]] + [
        valkey().hgetall(names.counters_of(key.organization.public_id))
    ]


def test_a_refusal_is_recorded_with_what_it_saw_then(gateway: RunningGateway) -> None:
    poor = make_organization("Poor", owner=make_user("poor@example.com"))
    give_credit(poor, 100)
    key, gateway.secret = make_key(poor)
    answer = gateway.chat(max_tokens=1000)
    assert answer.error[2] == "credit_balance_exhausted"
    record = recorded(answer, poor.public_id)
    # Money that comes later changes nothing of what was seen.
    give_credit(poor, DOLLAR, key="later")
    record = recorded(answer)
    assert (record.verdict, record.key, record.model) == ("insufficient_balance", key.public_id, "demo-chat")
    assert record.organization["balance"] == "100"
    assert record.hold_nanos
    assert record.hold_nanos > 100


def test_of_long_lists_the_beginning_is_kept_and_the_number(gateway: RunningGateway) -> None:
    networks = [f"10.0.{place}.0/24" for place in range(100)]
    gateway.key, gateway.secret = make_key(make_organization("Far"), allowed_networks=networks)
    record = recorded(gateway.chat())
    assert (record.verdict, len(record.networks), record.more_networks) == ("address_not_allowed", 50, 50)
    assert (record.more_models, "record" in record.api_key) == (0, False)


def test_a_secret_of_nobody_is_recorded_for_staff_only(gateway: RunningGateway) -> None:
    assert gateway.organization
    answer = gateway.request("GET", "/v1/models", secret="nonsense")
    assert recorded(answer).verdict == "malformed"
    assert decision_log.find(UUID(answer.headers["x-request-id"]), gateway.organization.public_id) is None


def test_a_record_is_of_its_organization_alone(gateway: RunningGateway) -> None:
    gateway.key, gateway.secret = make_key(make_organization("Scopeless"), scopes=["embeddings"])
    answer = gateway.chat()
    assert recorded(answer).verdict == "scope_missing"
    other = make_organization("Other", owner=make_user("other@example.com"))
    assert decision_log.find(UUID(answer.headers["x-request-id"]), other.public_id) is None


@pytest.mark.parametrize(("percent", "kept"), [(100, True), (0, False)])
def test_allowed_requests_are_sampled(gateway: RunningGateway, settings: Any, *, percent: int, kept: bool) -> None:
    from gateway.deciding.journal import Journal
    from hotstate.fast import HotState

    settings.EXPLAIN_SAMPLE_PERCENT = percent
    assert Journal(HotState(settings.VALKEY_URL)).samples("01a1fbf2-dbe8-7468-8a90-0ca20661f9e2") is kept


class TestTheCommand:
    def test_explains_a_refusal(self, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
        gateway.key, gateway.secret = make_key(make_organization("Scopeless"), scopes=["embeddings"])
        answer = gateway.chat()
        recorded(answer)
        call_command("explain", answer.headers["x-request-id"])
        told = capsys.readouterr().out
        assert "scope_missing" in told
        assert "needed: chat" in told
        assert "the key has: embeddings" in told

    def test_says_where_nothing_is_recorded(self, empty_valkey: Any) -> None:
        with pytest.raises(CommandError, match="No such decision"):
            call_command("explain", "01a1fbf2-dbe8-7468-8a90-0ca20661f9e2")

    def test_does_a_dry_run(self, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
        assert gateway.key
        call_command("explain", "--key", gateway.key.public_id, "--model", "demo-chat", "--json")
        told = json.loads(capsys.readouterr().out)
        assert told["verdict"] == "allowed"
        assert {check["state"] for check in told["checks"]} == {"passed"}


class TestADryRun:
    def test_takes_nothing(self, gateway: RunningGateway) -> None:
        assert gateway.key
        assert gateway.chat().status == 200
        gateway.lines(1)
        before = state_of(gateway.key)
        record = dry_run.would_be(gateway.key, endpoint="chat.completions", model="demo-chat", output_tokens=100)
        assert record.verdict == "allowed"
        assert state_of(gateway.key) == before

    def test_tells_what_would_be_refused(self, gateway: RunningGateway) -> None:
        assert gateway.key
        # $1 is not enough for 100,000 output tokens at $15 per million.
        record = dry_run.would_be(gateway.key, endpoint="chat.completions", model="demo-chat", output_tokens=100_000)
        assert record.verdict == "insufficient_balance"
        # But for the form of the secret each check saw something.
        assert [check.title for check in explain(record).checks[:10] if not check.saw] == ["The secret has our format"]
        assert dry_run.would_be(gateway.key, endpoint="chat.completions", model="no-such").verdict == "model_not_found"

    @pytest.mark.parametrize("endpoint", ["images.generations", "audio.transcriptions", "audio.speech", "videos"])
    def test_what_is_not_counted_in_tokens_costs_something_too(self, gateway: RunningGateway, endpoint: str) -> None:
        prices = {"images": (DOLLAR, 1), "seconds": (DOLLAR, 1), "characters": (DOLLAR, 1)}
        make_model("media", prices=prices, families=["images", "transcriptions", "speech", "videos"])
        key, _ = make_key(make_organization("Without credit"), scopes=["audio", "images", "videos"])
        assert dry_run.would_be(key, endpoint=endpoint, model="media").verdict == "insufficient_balance"

    def test_a_size_that_nobody_knows_is_a_token_to_limits(self, gateway: RunningGateway) -> None:
        assert gateway.key
        record = dry_run.would_be(gateway.key, endpoint="chat.completions", model="demo-chat")
        assert record.tokens == 1

    def test_is_judged_by_the_limits_too(self, gateway: RunningGateway) -> None:
        assert gateway.organization
        gateway.organization.requests_per_minute = 1
        gateway.organization.version += 1
        gateway.organization.save()
        from hotstate import publish

        publish.put(valkey(), gateway.organization.record())
        assert gateway.chat().status == 200
        assert gateway.key
        record = dry_run.would_be(gateway.key, endpoint="chat.completions", model="demo-chat", output_tokens=10)
        assert (record.verdict, record.bound) == ("rate_limited", "organization.requests_per_minute")


def test_the_store_is_bounded_by_number_and_age(empty_valkey: Any, settings: Any) -> None:
    import asyncio

    from hotstate.fast import HotState

    async def write(count: int, *, oldest_ms: int) -> None:
        hotstate = HotState(settings.VALKEY_URL)
        records = [DecisionRecord(id=f"r{n}", at_ms=n, verdict="unknown", face="api") for n in range(count)]
        await hotstate.log_decisions("org_a", records, most=200, oldest_ms=oldest_ms, keep_ms=60_000)
        await hotstate.close()

    asyncio.run(write(3000, oldest_ms=0))
    stream = decision_log.stream_of("org_a")
    # Valkey trims whole nodes of a hundred.
    assert 200 <= valkey().xlen(stream) <= 400
    assert 0 < valkey().pttl(stream) <= 60_000
    assert [record.id for record in decision_log.newest_refusals("org_a", 2)] == ["r2999", "r2998"]
    tomorrow = int(datetime.now(UTC).timestamp() * 1000) + 86_400_000
    asyncio.run(write(1, oldest_ms=tomorrow))
    assert valkey().xlen(stream) <= 100
