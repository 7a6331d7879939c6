"""Who sends slowly, or nothing, keeps a connection for so long and no longer."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from itertools import cycle

import pytest

from tests.gateway.conftest import RunningGateway
from tests.gateway.serving import Answer

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def gateway(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    """One with little patience."""
    monkeypatch.setattr("gateway.http.bounded_http.HEAD_SECONDS", 0.2)
    monkeypatch.setattr("gateway.proxying.forwarding.BODY_SECONDS", 0.2)
    monkeypatch.setattr("gateway.stored.keepsakes.BODY_SECONDS", 0.2)
    return gateway


@contextmanager
def connected(gateway: RunningGateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        yield connection


def dripped(connection: socket.socket, content: bytes) -> bytes:
    """What the gateway answers until it closes the connection, into which these bytes drip again and again."""
    received = b""
    drops = cycle(content)
    with suppress(ConnectionError):
        while True:
            if select.select([connection], [], [], 0.02)[0]:
                part = connection.recv(65_536)
                if not part:
                    break
                received += part
            else:
                connection.sendall(bytes([next(drops)]))
    return received


@pytest.mark.parametrize("begin", [b"", b"\r\n", b"G", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: a"])
def test_who_says_nothing_more_is_left(gateway: RunningGateway, begin: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(begin)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nX-Long: "])
def test_a_head_that_drips_is_not_waited_for(gateway: RunningGateway, begin: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(begin)
        assert dripped(connection, b"a") == b""


@pytest.mark.parametrize("drops", [b"\r\n", b"GET / HTTP/1.1"])
def test_nor_is_the_next_head_of_a_connection(gateway: RunningGateway, drops: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert dripped(connection, drops).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("kind", [CHUNKED, b"Content-Length: 100000\r\n\r\n"])
def test_a_body_that_nobody_wants_any_more_is_not_waited_for(gateway: RunningGateway, kind: bytes) -> None:
    with connected(gateway) as connection:
        connection.sendall(HEAD + kind)
        assert dripped(connection, b"1\r\na\r\n").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/images/edits"])
def test_a_body_that_drips_is_told_that_it_is_too_slow(gateway: RunningGateway, path: str) -> None:
    shown = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
    with connected(gateway) as connection:
        connection.sendall(shown.encode() + CHUNKED)
        answer = dripped(connection, b"1\r\na\r\n")
    status, _, body = answer.partition(b"\r\n\r\n")
    assert status.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 401 "))
    assert Answer(408, {"x-request-id": "-"}, body).error[2] in ("request_timeout", "missing_scope")
    assert gateway.lines(0) == []


def test_the_time_of_a_head_begins_anew_with_each_request(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.bounded_http.HEAD_SECONDS", 1.0)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(gateway) as connection:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            connection.sendall(request[:20])
            assert not select.select([connection], [], [], 0.02)[0]
            connection.sendall(request[20:])
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.read()) == (200, b'{"ok":true}')
