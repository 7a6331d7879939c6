"""A client that takes its answer slowly, or not at all, holds up the upstream: what it doesn't take is kept nowhere."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.tariff import UnitPrice
from catalog.models import Model, Upstream
from tests.cast import make_key, make_model
from tests.gateway.conftest import RunningGateway
from tests.gateway.fleet import running_fleet
from tests.gateway.scripted import DONE, HEAD, chunk, padded
from tests.gateway.test_endless_heads import MIB, bounded_memory
from tests.waiting import wait_until

PARTS = 1_024
PART = 64 * 1024
# What may be under way: the kernel's buffers of four sockets, and what the gateway holds of the one and the other.
MOST_UNDER_WAY = 48 * MIB
# An upstream that could write nothing for so long is held up.
HELD_UP_SECONDS = 2.0
SPEECH = "demo-speech"


class CountingUpstream:
    """Answers one request with `parts`, and counts the bytes that it could write."""

    def __init__(self, head: bytes, part: bytes, last: bytes) -> None:
        self.size = len(head) + PARTS * len(part) + len(last)
        self.written = 0
        self.held_up = threading.Event()
        self._parts = (head, *[part] * PARTS, last)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    @contextmanager
    def serving(self) -> Iterator[None]:
        threading.Thread(target=self._serve, daemon=True).start()
        with self._server:
            yield

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._server.accept()
            with client:
                client.recv(MIB)
                client.settimeout(HELD_UP_SECONDS)
                for part in self._parts:
                    self._write(client, memoryview(part))

    def _write(self, client: socket.socket, left: memoryview) -> None:
        while left:
            try:
                sent = client.send(left)
            except TimeoutError:
                self.held_up.set()
            else:
                self.written += sent
                left = left[sent:]


def streaming() -> CountingUpstream:
    last = chunk("word", finish="stop") + chunk(usage=(5, 2)) + DONE
    return CountingUpstream(HEAD, padded(PART), last)


def speaking() -> CountingUpstream:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: %d\r\n\r\n" % (PARTS * PART)
    return CountingUpstream(head, b"s" * PART, b"")


STREAM = "/v1/chat/completions", {"model": "demo-chat", "messages": [], "stream": True, "max_tokens": 100}, streaming
SPOKEN = "/v1/audio/speech", {"model": SPEECH, "input": "Hello", "voice": "alloy"}, speaking


@pytest.fixture
def gateway(gateway: RunningGateway) -> RunningGateway:
    if not Model.objects.filter(public_id=SPEECH).exists():
        make_model(SPEECH, prices=[UnitPrice("characters", 15_000)], families=["speech"])
    Model.objects.filter(public_id=SPEECH).update(enabled=True)
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["chat", "audio"])
    return gateway


@contextmanager
def a_process(gateway: RunningGateway, upstream: CountingUpstream, spool: Path) -> Iterator[RunningGateway]:
    """A gateway whose memory can be told from the test's, in front of that upstream."""
    Upstream.objects.update(base_url=upstream.base_url)
    with upstream.serving(), running_fleet(1, spool) as [address]:
        port = urlsplit(address).port
        assert port
        yield replace(gateway, port=port, spool=spool)


@contextmanager
def asked(gateway: RunningGateway, path: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A client that has asked, and takes nothing yet."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        yield client


@pytest.mark.parametrize(("path", "body", "answering"), [STREAM, SPOKEN], ids=["stream", "speech"])
def test_what_a_client_does_not_take_stays_with_the_upstream(
    gateway: RunningGateway, tmp_path: Path, path: str, body: dict[str, Any], answering: Any
) -> None:
    upstream = answering()
    with a_process(gateway, upstream, tmp_path / "spool") as mine, bounded_memory(mine.port):
        with asked(mine, path, body) as client:
            wait_until(lambda: upstream.held_up.is_set() or upstream.written == upstream.size, "the upstream's stop")
            assert upstream.written < MOST_UNDER_WAY
            answer = HTTPResponse(client)
            answer.begin()
            taken = 0
            while part := answer.read(MIB):
                taken += len(part)
                assert upstream.written - taken < MOST_UNDER_WAY
        (line,) = mine.lines()
    # Nothing is lost by it: who comes to take it has all of it.
    assert taken >= PARTS * PART
    assert (upstream.written, line["outcome"]) == (upstream.size, "completed")
    assert mine.held_nanos() == line["charge_nanos"] > 0
