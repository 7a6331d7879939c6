"""Every refusal has its documented error, holds nothing and writes no line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.keys import revoke_key
from accounts.organizations import suspend
from accounts.secrets import generate
from tests.cast import make_key, make_model, make_organization
from tests.gateway.conftest import RunningGateway, announce

INVALID = "invalid_request_error"
NO_KEY = (401, INVALID, "invalid_api_key")
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _nothing_is_held_or_logged(gateway: RunningGateway) -> Any:
    yield
    assert gateway.lines(0) == []
    assert gateway.held_nanos() == 0


@pytest.mark.parametrize("secret", ["", "nonsense", "km-sk-" + "a" * 46, "x" * 5000])
def test_no_key_or_a_malformed_one(gateway: RunningGateway, secret: str) -> None:
    assert gateway.request("GET", "/v1/models", secret=secret).error == NO_KEY


def test_a_well_formed_key_that_nobody_has(gateway: RunningGateway) -> None:
    unknown = generate("km-sk").text
    assert gateway.request("GET", "/v1/models", secret=unknown).error == NO_KEY
    assert gateway.request("GET", "/v1/models", secret=unknown).error == NO_KEY


def test_a_revoked_key_is_refused_by_the_very_next_call(gateway: RunningGateway) -> None:
    assert gateway.request("GET", "/v1/models").status == 200
    assert gateway.key
    revoke_key(gateway.key, actor=None, now=NOW)
    answer = gateway.chat()
    assert answer.error == NO_KEY
    assert "revoked" in answer.json["error"]["message"]


def test_an_expired_key(gateway: RunningGateway) -> None:
    assert gateway.organization
    _, secret = make_key(gateway.organization, expires_at=NOW - timedelta(seconds=1))
    answer = gateway.request("GET", "/v1/models", secret=secret)
    assert answer.error == NO_KEY
    assert "expired" in answer.json["error"]["message"]


def test_a_suspended_organization(gateway: RunningGateway) -> None:
    assert gateway.organization
    suspend(gateway.organization, actor=None, reason="test", now=NOW)
    assert gateway.chat().error == (403, INVALID, "organization_suspended")


def test_a_missing_scope(gateway: RunningGateway) -> None:
    assert gateway.organization
    gateway.secret = make_key(gateway.organization, scopes=["models"])[1]
    answer = gateway.chat()
    assert answer.error == (401, INVALID, "missing_scope")
    assert "chat" in answer.json["error"]["message"]


def test_an_unknown_model_and_one_that_is_not_allowed_look_the_same(gateway: RunningGateway) -> None:
    make_model("other")
    announce()
    assert gateway.organization
    gateway.secret = make_key(gateway.organization, allowed_models=["demo-chat"])[1]
    errors = [gateway.chat(model=model).json["error"]["message"] for model in ("other", "never")]
    assert gateway.chat(model="other").error == (404, INVALID, "model_not_found")
    assert errors[0].replace("other", "never") == errors[1]


def test_a_model_that_does_not_do_this(gateway: RunningGateway) -> None:
    make_model("embed-only", families=["embeddings"])
    announce()
    assert gateway.chat(model="embed-only").error == (404, INVALID, "model_not_found")


def test_no_balance(gateway: RunningGateway) -> None:
    poor = make_organization("Poor")
    gateway.secret = make_key(poor)[1]
    answer = gateway.chat()
    assert answer.error == (429, "insufficient_quota", "credit_balance_exhausted")
    assert answer.headers["x-should-retry"] == "false"


def test_revoked_comes_before_scope_and_scope_before_model_and_model_before_balance(gateway: RunningGateway) -> None:
    poor = make_organization("Poor")
    no_scope, gateway.secret = make_key(poor, scopes=["models"])
    assert gateway.chat(model="never").error[2] == "missing_scope"
    revoke_key(no_scope, actor=None, now=NOW)
    assert gateway.chat(model="never").error[2] == "invalid_api_key"
    gateway.secret = make_key(poor)[1]
    assert gateway.chat(model="never").error[2] == "model_not_found"


def test_two_different_keys_in_one_request(gateway: RunningGateway) -> None:
    answer = gateway.request("GET", "/v1/models", headers={"api-key": "another"})
    assert answer.error == (400, INVALID, "two_api_keys")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"messages": []}',
        b'{"model": 5}',
        b'{"model": "demo-chat", "stream": "yes"}',
        b'{"model": "demo-chat", "n": 0}',
        b'{"model": "demo-chat", "n": true}',
        b'{"model": "demo-chat", "max_tokens": -1}',
        b'{"model": "demo-chat", "max_tokens": 1e99}',
        b'{"model": "demo-chat", "max_tokens": 99999999}',
        b'{"model": "demo-chat", "max_completion_tokens": "many"}',
        b'{"model": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"model": "demo-chat", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_a_bad_body(gateway: RunningGateway, body: bytes) -> None:
    assert gateway.post("/v1/chat/completions", body).error[:2] == (400, INVALID)


def test_what_is_wrong_with_the_key_is_said_first(gateway: RunningGateway) -> None:
    assert gateway.key
    revoke_key(gateway.key, actor=None, now=NOW)
    assert gateway.post("/v1/chat/completions", b"{").error == NO_KEY
    assert gateway.chat(max_tokens=10**8).error == NO_KEY


def test_a_model_that_is_not_allowed_does_not_tell_its_limits(gateway: RunningGateway) -> None:
    assert gateway.organization
    gateway.secret = make_key(gateway.organization, allowed_models=["other"])[1]
    assert gateway.chat(max_tokens=10**8).error == (404, INVALID, "model_not_found")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_20_megabytes(gateway: RunningGateway, chunked: bool) -> None:
    body = b'{"model": "demo-chat", "messages": [{"role": "user", "content": "' + b"x" * 20_000_000 + b'"}]}'
    parts = (body[first : first + 65_536] for first in range(0, len(body), 65_536))
    answer = gateway.request("POST", "/v1/chat/completions", parts if chunked else body)
    assert answer.error == (413, INVALID, "request_too_large")
    assert gateway.request("GET", "/v1/models").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/elsewhere", 404),
        ("GET", "/v1/../v1/models", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_a_wrong_url_or_method(gateway: RunningGateway, method: str, path: str, status: int) -> None:
    assert gateway.request(method, path).error[0] == status
