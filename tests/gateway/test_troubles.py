"""Whatever the upstream or the client does: a documented error, the right charge or none, and no hold left open."""

import socket
import time
from typing import Any

import pytest
from aiohttp import ClientTimeout
from openai import APIError

from tests.gateway.conftest import RunningGateway, Says, announce
from tests.gateway.scripted import ANSWER, whole
from tests.waiting import wait_until

OUTPUT = 15_000
IMPATIENT = ClientTimeout(total=None, sock_read=0.3)


def only_line(gateway: RunningGateway) -> tuple[str, int, int]:
    (line,) = gateway.lines()
    assert gateway.held_nanos() == line["charge_nanos"]
    return line["outcome"], line["status"], line["charge_nanos"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("directive", "error", "outcome"),
    [
        ("!status=500", (502, "server_error", "bad_gateway"), "upstream_error"),
        ("!status=503", (503, "server_error", "model_unavailable"), "upstream_error"),
        ("!status=429", (503, "server_error", "model_overloaded"), "upstream_error"),
        ("!status=401", (503, "server_error", "model_unavailable"), "upstream_error"),
        ("!status=400", (400, "invalid_request_error", None), "refused"),
        ("!garbage", (502, "server_error", "bad_gateway"), "upstream_error"),
        ("!hang=30", (504, "server_error", "model_timeout"), "timeout"),
    ],
)
def test_an_upstream_that_fails_before_the_first_byte_costs_nothing(
    gateway: RunningGateway,
    directive: str,
    error: Any,
    outcome: str,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """new-api 5287: an upstream's error text was billed as output."""
    monkeypatch.setattr(gateway.application.gateway.upstreams, "patience", IMPATIENT)
    assert gateway.chat(directive, stream=stream).error == error
    assert only_line(gateway) == (outcome, error[0], 0)


def test_an_upstream_that_is_down(gateway: RunningGateway) -> None:
    from catalog.models import Upstream

    Upstream.objects.update(base_url="http://127.0.0.1:9/v1")
    announce()
    assert gateway.chat().error == (503, "server_error", "model_unavailable")
    assert only_line(gateway) == ("upstream_error", 503, 0)


def test_an_answer_that_breaks_off_costs_nothing(gateway: RunningGateway) -> None:
    assert gateway.chat("!words=50 !cut=1").error == (502, "server_error", "bad_gateway")
    assert only_line(gateway)[::2] == ("upstream_error", 0)


@pytest.mark.parametrize("directive", ["!words=9 !cut=3", "!words=9 !error=3"])
def test_a_stream_that_breaks_off_ends_with_an_error_and_costs_nothing(gateway: RunningGateway, directive: str) -> None:
    stream = gateway.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": directive}], stream=True
    )
    with pytest.raises(APIError):
        list(stream)
    assert only_line(gateway)[::2] == ("upstream_error", 0)


def test_a_client_that_goes_away_in_mid_stream_pays_for_what_was_produced(gateway: RunningGateway) -> None:
    """LiteLLM 14457: nothing at all was charged."""
    stream = gateway.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "!words=400 !delay=0.02"}], stream=True
    )
    for _, _ in zip(range(4), stream, strict=False):
        pass
    stream.close()
    (line,) = gateway.lines()
    assert (line["outcome"], line["status"], line["estimated"]) == ("client_disconnected", 499, True)
    assert 0 < line["usage"]["output_tokens"] < 100
    assert gateway.held_nanos() == line["charge_nanos"] > 0


def test_a_client_that_goes_away_before_the_first_byte_pays_nothing(gateway: RunningGateway, says: Says) -> None:
    """new-api 4168: the whole prompt was charged."""
    says(0.9, whole(ANSWER))
    body = b'{"model": "demo-chat", "messages": []}'
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head.encode() + body)
        wait_until(gateway.open_holds, "the request to run")
    assert only_line(gateway) == ("client_disconnected", 499, 0)


def test_a_client_that_goes_away_while_it_still_sends_leaves_nothing(gateway: RunningGateway) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n{")
        time.sleep(0.2)
    assert gateway.request("GET", "/v1/models").status == 200
    assert gateway.lines(0) == []


def test_a_full_disk_admits_no_request_and_loses_no_line(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os as system

    real = system.write

    def full(descriptor: int, content: bytes) -> int:
        if content.startswith(b'{"v":1'):
            raise OSError(28, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr("gateway.logs.usage_log.os.write", full)
    assert gateway.chat().status == 200
    assert gateway.chat().error == (503, "server_error", "service_unavailable")
    monkeypatch.undo()
    wait_until(lambda: gateway.chat().status == 200, "the disk to have room again")
    first, second = gateway.lines(2)
    assert second["seq"] == first["seq"] + 1
