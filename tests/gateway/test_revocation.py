"""After the answer to a revocation, no gateway accepts a request with that key: measured over HTTP, under load."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from accounts.keys import revoke_key
from accounts.models import ApiKey
from accounts.organizations import rename, suspend
from gateway.faces.credentials import create_credential
from hotstate import outbox
from hotstate.models import OutboxEntry
from tests.cast import make_user
from tests.gateway.conftest import RunningGateway
from tests.gateway.fleet import Call, Load
from tests.gateway.test_limits import change_key
from tests.website.browsing import signed_in

NO_KEY = (401, "invalid_request_error", "invalid_api_key")
CLIENTS, BEFORE, AFTER = 4, 20, 50


def revoke(key: ApiKey) -> None:
    revoke_key(key, actor=None, now=datetime.now(UTC))


def revoke_in_the_console(key: ApiKey) -> None:
    owner = key.organization.members.get()
    answer = signed_in(owner).post(key.get_absolute_url() + "revoke/", {"name": key.name})
    assert answer.status_code == 302, answer.content


def suspend_the_organization(key: ApiKey) -> None:
    suspend(key.organization, actor=None, reason="test", now=datetime.now(UTC))


def models(secret: str) -> Call:
    return Call("GET", "/v1/models", {"Authorization": f"Bearer {secret}"})


def verify(secret: str) -> Call:
    question = {"key": secret, "endpoint": "chat.completions", "input_tokens": 1, "max_output_tokens": 1}
    return Call("POST", "/v1/keys/verify", credential(), {**question, "model": "demo-chat"})


def forward_auth(secret: str) -> Call:
    return Call("GET", "/auth/check/v1/models", {"Authorization": f"Bearer {secret}", **credential()})


def credential() -> dict[str, str]:
    return {"X-Gateway-Credential": create_credential(uuid4().hex, sources=["x-*"], now=datetime.now(UTC))[1]}


def accepted(status: int, told: Any) -> bool:
    return status == 200 and (told is None or told.get("valid", True))


@pytest.mark.parametrize("face", [models, verify, forward_auth])
@pytest.mark.parametrize("end", [revoke, revoke_in_the_console, suspend_the_organization])
def test_nothing_that_is_sent_after_the_answer_passes(
    gateway: RunningGateway, fleet: list[str], face: Callable[[str], Call], end: Callable[[ApiKey], None]
) -> None:
    """No process's cache lets it through: one-api 499, LiteLLM 9820."""
    assert gateway.key
    load = Load(face(gateway.secret), fleet)
    key = gateway.key

    def ended() -> float:
        try:
            end(key)
            return time.monotonic()
        finally:
            connections.close_all()

    async def measure() -> float:
        running = asyncio.create_task(load.run(CLIENTS))
        await load.until_each_gateway_answered(BEFORE, since=0)
        answered = await asyncio.to_thread(ended)
        await load.until_each_gateway_answered(AFTER, since=answered)
        load.stop()
        await running
        return answered

    answered = asyncio.run(measure())
    before = [seen for seen in load.seen if seen.sent < answered]
    after = [seen for seen in load.seen if seen.sent >= answered]
    assert {seen.address for seen in before if accepted(seen.status, seen.told)} == set(fleet)
    assert [seen for seen in after if accepted(seen.status, seen.told)] == []
    # Nor was anybody told that we can't decide.
    assert {seen.status for seen in load.seen} <= {200, 401, 403}


class Crash(BaseException):
    """The process dies."""


def crash(*_: Any) -> None:
    raise Crash


@pytest.fixture
def dies_after_commit(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(outbox, "_deliver_quietly", lambda _: None)
    monkeypatch.setattr(outbox, "require_delivered", crash)
    return monkeypatch


@pytest.mark.parametrize(
    ("end", "error"),
    [(revoke, NO_KEY), (suspend_the_organization, (403, "invalid_request_error", "organization_suspended"))],
)
def test_what_a_crash_after_the_commit_kept_back_the_sweep_tells(
    gateway: RunningGateway, dies_after_commit: pytest.MonkeyPatch, end: Callable[[ApiKey], None], error: Any
) -> None:
    assert gateway.key
    assert gateway.chat().status == 200
    with pytest.raises(Crash):
        end(gateway.key)
    dies_after_commit.undo()
    assert OutboxEntry.objects.count() == 1
    outbox.deliver()
    assert gateway.chat().error == error


def test_a_late_write_brings_no_key_and_no_organization_back(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of changes that were made before arrive after: of key and organization, in any order (LiteLLM 25553)."""
    key, organization = gateway.key, gateway.organization
    assert key
    assert organization
    with monkeypatch.context() as slow:
        slow.setattr(outbox, "_deliver_quietly", lambda _: None)
        change_key(key, allowed_models=["demo-*"])
        rename(organization, "Later", actor=make_user(f"{uuid4().hex}@example.com"), now=datetime.now(UTC))
    late = list(OutboxEntry.objects.values_list("pk", flat=True))
    assert len(late) == 2
    revoke(key)
    suspend_the_organization(key)
    assert gateway.chat().error == NO_KEY
    assert outbox.deliver(late) == 2
    assert gateway.chat().error == NO_KEY
    gateway.secret = _another_secret(gateway)
    assert gateway.chat().error == (403, "invalid_request_error", "organization_suspended")


def _another_secret(gateway: RunningGateway) -> str:
    from tests.cast import make_key

    assert gateway.organization
    return make_key(gateway.organization)[1]
