"""Limits and budgets of keys and organizations, over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from accounts.keys import rotate_key
from accounts.models import ApiKey, Organization
from billing.posting import post_segment
from hotstate import outbox
from tests.cast import DOLLAR, make_key, make_segment, raw, usage_line
from tests.gateway.conftest import RunningGateway, Says
from tests.gateway.scripted import ANSWER, whole
from tests.waiting import wait_until


def limit_key(gateway: RunningGateway, **limits: Any) -> ApiKey:
    assert gateway.organization
    key, gateway.secret = make_key(gateway.organization)
    return change_key(key, **limits)


def change_key(key: ApiKey, **changes: Any) -> ApiKey:
    for name, value in changes.items():
        setattr(key, name, value)
    key.version += 1
    key.save()
    outbox.add([key.record()], now=datetime.now(UTC))
    return key


def limit_organization(gateway: RunningGateway, **limits: Any) -> None:
    organization = Organization.objects.get(pk=gateway.organization.pk)  # type: ignore[union-attr]
    for name, value in limits.items():
        setattr(organization, name, value)
    organization.version += 1
    organization.save()
    outbox.add([organization.record()], now=datetime.now(UTC))


def test_requests_per_minute_with_their_headers(gateway: RunningGateway) -> None:
    limit_key(gateway, requests_per_minute=3)
    answers = [gateway.chat() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert refused.error == (429, "requests", "rate_limit_exceeded")
    assert "key.requests_per_minute" in refused.json["error"]["message"]
    assert 15 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert "x-should-retry" not in refused.headers
    gateway.lines(3)


def test_both_the_keys_and_the_organizations_limit_bind_and_the_tighter_one_shows(gateway: RunningGateway) -> None:
    limit_key(gateway, requests_per_minute=100)
    limit_organization(gateway, requests_per_minute=2)
    answers = [gateway.chat() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert "organization.requests_per_minute" in answers[2].json["error"]["message"]


def test_tokens_are_estimated_at_admission_and_corrected_at_the_end(gateway: RunningGateway) -> None:
    limit_key(gateway, tokens_per_minute=1_000)
    first = gateway.chat("hello", max_tokens=900)
    assert first.status == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100
    gateway.lines(1)
    # It took 1 + 3 tokens, so the next one fits.
    assert gateway.chat("hello", max_tokens=900).status == 200


def test_more_tokens_than_the_limit_ever_allows_are_not_worth_a_retry(gateway: RunningGateway) -> None:
    limit_key(gateway, tokens_per_minute=100)
    refused = gateway.chat(max_tokens=1000)
    assert refused.error == (429, "requests", "rate_limit_exceeded")
    assert refused.headers["x-should-retry"] == "false"


def test_requests_per_day(gateway: RunningGateway) -> None:
    limit_key(gateway, requests_per_day=1)
    assert [gateway.chat().status for _ in range(2)] == [200, 429]


def test_concurrent_requests(gateway: RunningGateway, says: Says) -> None:
    limit_key(gateway, concurrent_requests=2)
    gate = Event()
    says(gate, whole(ANSWER))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(gateway.chat) for _ in range(2)]
        wait_until(lambda: gateway.open_holds() == 2, "both to run")
        refused = gateway.chat()
        gate.set()
        assert [each.result().status for each in running] == [200, 200]
    assert refused.error == (429, "requests", "concurrency_limit_exceeded")
    gateway.lines(2)
    assert gateway.chat().status == 200


def test_refusals_take_nothing(gateway: RunningGateway) -> None:
    limit_key(gateway, requests_per_minute=2)
    gateway.chat(model="never")
    gateway.post("/v1/chat/completions", b"{")
    gateway.request("GET", "/v1/models")
    assert gateway.request("GET", "/v1/models").headers["x-ratelimit-remaining-requests"] == "2"


def test_a_refusal_tells_what_the_other_limits_have_left_without_it(gateway: RunningGateway) -> None:
    limit_key(gateway, requests_per_day=5, tokens_per_minute=100)
    limit_organization(gateway, requests_per_minute=4)
    refused = gateway.chat(max_tokens=1000)
    assert "key.tokens_per_minute" in refused.json["error"]["message"]
    assert refused.headers["x-ratelimit-remaining-requests"] == "4"
    assert refused.headers["x-ratelimit-remaining-tokens"] == "100"


@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
def test_a_budget_counts_what_is_held_and_what_was_posted(gateway: RunningGateway, window: str) -> None:
    # A request's worst case with max_tokens=100 is a bit over 100 × $15 / 1M = $0.0015.
    key = limit_key(gateway, **{f"budget_{window}_nanos": DOLLAR // 500})
    assert gateway.chat(max_tokens=100).status == 200
    refused = gateway.chat(max_tokens=1000)
    assert refused.error == (429, "insufficient_quota", "key_budget_exhausted")
    assert window in refused.json["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    usage = {"input_tokens": 0, "output_tokens": 130}
    segment = make_segment(raw(usage_line(key, usage=usage)))
    post_segment(segment.pk, now=datetime.now(UTC))
    assert gateway.chat(max_tokens=100).status == 429
    change_key(key, **{f"budget_{window}_nanos": None})
    assert gateway.chat(max_tokens=100).status == 200
    change_key(key, **{f"budget_{window}_nanos": DOLLAR // 500})
    assert gateway.chat(max_tokens=100).status == 429


def test_networks_and_model_patterns(gateway: RunningGateway) -> None:
    key = limit_key(gateway, allowed_networks=["10.0.0.0/8"])
    assert gateway.chat().error == (403, "invalid_request_error", "address_not_allowed")
    change_key(key, allowed_networks=["127.0.0.0/8", "::1/128"], allowed_models=["demo-*"])
    assert gateway.chat().status == 200
    change_key(key, allowed_models=["other-*"])
    assert gateway.chat().error == (404, "invalid_request_error", "model_not_found")
    assert gateway.request("GET", "/v1/models").json["data"] == []


def test_an_address_is_believed_only_from_trusted_hops(gateway: RunningGateway, settings: Any) -> None:
    limit_key(gateway, allowed_networks=["10.0.0.0/8"])
    spoofed = {"X-Forwarded-For": "10.0.0.1"}
    assert gateway.request("GET", "/v1/models", headers=spoofed).status == 403
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert gateway.request("GET", "/v1/models", headers=spoofed).status == 200
    assert gateway.request("GET", "/v1/models", headers={"X-Forwarded-For": "10.0.0.1, 8.8.8.8"}).status == 403
    assert gateway.request("GET", "/v1/models").status == 403


def test_a_stream_ends_where_the_balance_does(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold of a stream that nobody limited grows in steps; what isn't covered isn't passed on (sub2api 7002)."""
    monkeypatch.setattr("gateway.asking.asked.STREAM_STEP_TOKENS", 20)
    monkeypatch.setattr("gateway.proxying.streaming.STREAM_STEP_TOKENS", 20)
    # Enough for some 60 bytes of output besides the input.
    key = limit_key(gateway, budget_total_nanos=64 * 15_000 + 250 * 3_000)
    answer = gateway.chat("!words=500 !delay=0.002", stream=True)
    assert answer.status == 200
    assert b'"code":"hold_exhausted"' in answer.body
    (line,) = gateway.lines()
    assert line["outcome"] == "hold_exhausted"
    assert 0 < line["charge_nanos"] <= (key.budget_total_nanos or 0)
    passed = answer.body.count(b"word")
    assert 3 <= passed < 30


def test_a_stream_grows_as_far_as_it_needs(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.asking.asked.STREAM_STEP_TOKENS", 20)
    monkeypatch.setattr("gateway.proxying.streaming.STREAM_STEP_TOKENS", 20)
    answer = gateway.chat("!words=300", stream=True)
    assert answer.body.rstrip().endswith(b"[DONE]")
    (line,) = gateway.lines()
    assert (line["outcome"], line["usage"]["output_tokens"]) == ("completed", 300)


def test_both_secrets_work_until_the_old_one_has_lapsed(gateway: RunningGateway) -> None:
    assert gateway.key
    assert gateway.chat().status == 200
    old, current = gateway.secret, gateway.key.secrets.get().public_id
    now = datetime.now(UTC)
    new = rotate_key(gateway.key, replacing=current, overlap=timedelta(hours=1), actor=None, now=now)
    for secret in (old, new):
        gateway.secret = secret
        assert gateway.chat().status == 200
    assert len({line["secret"] for line in gateway.lines(3)}) == 2
    newest = gateway.key.secrets.get(lapses_at=None).public_id
    newer = rotate_key(gateway.key, replacing=newest, overlap=timedelta(0), actor=None, now=datetime.now(UTC))
    assert gateway.chat().error == (401, "invalid_request_error", "invalid_api_key")
    gateway.secret = newer
    assert gateway.chat().status == 200
