"""However many requests run at once, nobody spends what isn't there."""

from typing import Any

import pytest
from django.utils import timezone

from gateway.http.outgoing import Outgoing
from hotstate import names, recovery
from hotstate.client import valkey
from tests.cast import DOLLAR
from tests.gateway.conftest import RunningGateway
from tests.gateway.test_limits import limit_key
from tests.waiting import wait_until


def test_an_emptied_valkey_is_asked_back_from_the_database(gateway: RunningGateway) -> None:
    assert gateway.chat().status == 200
    valkey().flushdb()
    assert gateway.chat().error == (503, "server_error", "service_unavailable")
    assert recovery.recover_if_lost(timezone.now)
    wait_until(lambda: gateway.chat(max_tokens=4000).status == 200, "decisions to go on")
    assert gateway.organization
    balance = valkey().hget(names.organization_hash(gateway.organization.public_id), "balance")
    assert int(balance) == DOLLAR


def test_a_hold_whose_answer_was_lost_is_released(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    from hotstate.errors import Unreachable
    from hotstate.fast import HotState

    real = HotState.decide
    limit_key(gateway, tokens_per_minute=1000)
    # The key is loaded: the next decision on it is the first.
    assert gateway.request("GET", "/v1/models").status == 200

    async def answer_is_lost(*args: Any, **kwargs: Any) -> Any:
        await real(*args, **kwargs)
        raise Unreachable("lost")

    with monkeypatch.context() as losing:
        losing.setattr(HotState, "decide", answer_is_lost)
        assert gateway.chat(max_tokens=900).status == 503
    assert gateway.held_nanos() > 0
    wait_until(lambda: gateway.held_nanos() == 0, "the hold to be released")
    assert gateway.lines(0) == []
    (limit,) = gateway.request("GET", "/v1/key").json["limits"]
    assert limit["left"] > 900


@pytest.mark.parametrize("stream", [False, True])
def test_the_line_is_written_before_the_client_has_the_end(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """A gateway that is killed just then must not have given its answer away."""
    real = Outgoing.write
    written: list[int] = []

    async def write(self: Outgoing, content: bytes, *, more: bool = True) -> None:
        if not more or b"[DONE]" in content:
            written.append(gateway.written())
        await real(self, content, more=more)

    monkeypatch.setattr(Outgoing, "write", write)
    assert gateway.chat(stream=stream).status == 200
    gateway.lines(1)
    assert written[0] == 1


def test_a_settled_hold_gives_back_what_the_request_did_not_use(gateway: RunningGateway) -> None:
    for _ in range(20):
        assert gateway.chat(max_tokens=4000).status == 200
    lines = gateway.lines(20)
    assert gateway.held_nanos() == sum(line["charge_nanos"] for line in lines)
