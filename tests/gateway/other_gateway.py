"""Another gateway that asks ours, and customers that it has to refuse."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.keys import revoke_key
from accounts.organizations import suspend
from accounts.secrets import generate
from gateway.deciding.verdicts import Verdict
from gateway.faces.credentials import create_credential
from tests.cast import make_key, make_organization
from tests.gateway.conftest import Answer, RunningGateway
from tests.gateway.test_limits import change_key

NOW = datetime.now(UTC)
INVALID = "invalid_request_error"
NO_GATEWAY = (401, INVALID, "invalid_gateway_credential")
CHAT_PATH = "/auth/check/v1/chat/completions"
TEMPLATE = 64


@dataclass
class OtherGateway:
    """Somebody else's gateway, asking this one."""

    asked: RunningGateway
    credential: str
    name: str = ""

    def call(self, path: str, body: Any) -> Answer:
        return self.asked.post(path, body, secret="", headers={"X-Gateway-Credential": self.credential})

    def verify(self, secret: str | None = None, **fields: Any) -> Answer:
        asks = {"endpoint": "chat.completions", "model": "demo-chat", "address": "127.0.0.1", "input_tokens": 100}
        key = self.asked.secret if secret is None else secret
        return self.call("/v1/keys/verify", {"key": key, **asks, "max_output_tokens": 100, **fields})

    def settle(self, verdict: dict[str, Any], **fields: Any) -> Answer:
        usage = {"requests": 1, "input_tokens": 90, "output_tokens": 50}
        named = {"request_id": verdict["request_id"], "key": verdict["key"], "org": verdict["org"]}
        went = {"model": "demo-chat", "endpoint": "chat.completions", "status": 200, "outcome": "completed"}
        return self.call("/v1/keys/settle", {**named, **went, "usage": usage, **fields})

    def check(self, path: str = CHAT_PATH, *, method: str = "GET", secret: str | None = None, **headers: str) -> Answer:
        sent = {"X-Gateway-Credential": self.credential, "X-Forwarded-For": "127.0.0.1"}
        sent |= {name.replace("__", "-"): value for name, value in headers.items()}
        return self.asked.request(method, path, secret=secret, headers=sent)


@pytest.fixture
def other(gateway: RunningGateway) -> OtherGateway:
    name = f"edge-{uuid4().hex}"
    return OtherGateway(gateway, create_credential(name, sources=["edge-*"], now=NOW)[1], name)


def spend_nanos(input_tokens: int, output_tokens: int) -> int:
    return input_tokens * 3_000 + output_tokens * 15_000


def refused(gateway: RunningGateway, verdict: Verdict) -> str:
    """A secret that has this verdict on a request for demo-chat, made by 127.0.0.1."""
    organization = gateway.organization
    assert organization
    if verdict is Verdict.MALFORMED:
        return "nonsense"
    if verdict is Verdict.UNKNOWN:
        return generate("km-sk").text
    if verdict is Verdict.INSUFFICIENT_BALANCE:
        return make_key(make_organization("Poor"))[1]
    key, secret = make_key(organization)
    changes: dict[Verdict, dict[str, Any]] = {
        Verdict.EXPIRED: {"expires_at": NOW - timedelta(seconds=1)},
        Verdict.ADDRESS_NOT_ALLOWED: {"allowed_networks": ["10.0.0.0/8"]},
        Verdict.SCOPE_MISSING: {"scopes": ["models"]},
        Verdict.MODEL_NOT_FOUND: {"allowed_models": ["other"]},
        Verdict.BUDGET_EXHAUSTED: {"budget_day_nanos": 1},
        Verdict.RATE_LIMITED: {"requests_per_minute": 1},
        Verdict.CONCURRENCY_LIMITED: {"concurrent_requests": 1},
    }
    change_key(key, **changes.get(verdict, {}))
    if verdict is Verdict.REVOKED:
        revoke_key(key, actor=None, now=NOW)
    if verdict is Verdict.SUSPENDED:
        suspend(organization, actor=None, reason="test", now=NOW)
    return secret
