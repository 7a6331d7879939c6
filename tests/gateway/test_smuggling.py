"""Requests whose end is told in two ways, or never comes: a proxy in front and the gateway must not disagree on it."""

import socket
from collections.abc import Iterator

import pytest

from tests.gateway.conftest import RunningGateway

# What a smuggler hides in a body: answered by itself, it would be somebody else's answer.
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(autouse=True)
def _nothing_is_held_or_logged(gateway: RunningGateway) -> Iterator[None]:
    yield
    assert gateway.lines(0) == []
    assert gateway.held_nanos() == 0


def answers(gateway: RunningGateway, content: bytes, *, ends: bool = True) -> list[bytes]:
    """The statuses of all answers, until the gateway closes the connection; `ends`: the client says nothing more."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(content)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


def length(size: int | bytes) -> bytes:
    return b"Content-Length: " + (size if isinstance(size, bytes) else b"%d" % size) + b"\r\n"


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(length(5) + CHUNKED, id="both"),
        pytest.param(CHUNKED + length(5), id="both, the other way round"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="chunked isn't last"),
        pytest.param(b"Transfer-Encoding: identity\r\n", id="identity"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="xchunked"),
        pytest.param(b"Transfer-Encoding: \x0bchunked\r\n", id="a control character"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", id="a space before the colon"),
        pytest.param(CHUNKED + b"Transfer-Encoding: identity\r\n", id="twice"),
        pytest.param(length(5) + length(6), id="two lengths"),
        pytest.param(length(5) + length(5), id="two equal lengths"),
        pytest.param(length(b"+5"), id="a sign"),
        pytest.param(length(b"-5"), id="negative"),
        pytest.param(length(b"0x5"), id="hexadecimal"),
        pytest.param(length(b"5, 5"), id="a list"),
        pytest.param(length(b"5 5"), id="two numbers"),
        pytest.param(length(b"99999999999999999999"), id="more than 64 bits"),
        pytest.param(length(b"5\r\n 5"), id="a folded length"),
        pytest.param(b"X: y\rContent-Length: 5\r\n", id="a lone CR"),
        pytest.param(b"X: y\x00\r\n" + length(5), id="a NUL"),
        pytest.param(b"Content-Length\x00: 5\r\n", id="a NUL in a name"),
        pytest.param(b" Content-Length: 5\r\n", id="a name that is folded"),
    ],
)
def test_a_body_whose_end_is_told_in_two_ways_is_no_request(gateway: RunningGateway, told: bytes) -> None:
    assert answers(gateway, POST + told + b"\r\n0\r\n\r\n" + HIDDEN) == [b"400"]


@pytest.mark.parametrize(
    "chunk", [b"0x2\r\n{}\r\n", b"-2\r\n{}\r\n", b"+2\r\n{}\r\n", b" 2\r\n{}\r\n", b"2\n{}\r\n", b"2\r\n{}x\r\n",
              b"2\r{}\r\n", b"1" + b"0" * 16 + b"\r\n{}\r\n", b"2;a\x00\r\n{}\r\n", b"2;a\rb\r\n{}\r\n", b"\r\n{}\r\n"]
)  # fmt: skip
def test_a_chunk_of_an_odd_size_ends_the_connection(gateway: RunningGateway, chunk: bytes) -> None:
    found = answers(gateway, POST + CHUNKED + b"\r\n" + chunk + b"0\r\n\r\n" + HIDDEN)
    assert found in ([b"400"], [b"401", b"400"], [b"401"])


def test_what_comes_after_a_body_is_a_request_of_its_own(gateway: RunningGateway) -> None:
    extended = POST + CHUNKED + b"\r\n2;name=value\r\n{}\r\n0;last\r\nTrailer: x\r\n\r\n"
    assert answers(gateway, extended + HIDDEN) == [b"401", b"200"]
    assert answers(gateway, POST + length(2) + b"\r\n{}" + HIDDEN) == [b"401", b"200"]
    # Known to be none before the first is answered.
    assert answers(gateway, POST + length(2) + b"\r\n{}garbage\r\n\r\n" + HIDDEN) == [b"400"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"GET http://elsewhere.example/v1/key", b"200"),
        (b"GET http://user:password@elsewhere.example:99/v1/key?a=b#c", b"200"),
        (b"GET //elsewhere.example/v1/key", b"404"),
        (b"GET /v1/../v1/key", b"404"),
        (b"GET /v1//key", b"404"),
        (b"GET /v1/%6bey", b"200"),
        (b"GET /v1/key%00", b"404"),
        (b"GET /v1/key/", b"404"),
        (b"OPTIONS *", b"404"),
        (b"TRACE /v1/key", b"405"),
        (b"PRI *", b"400"),
    ],
)
def test_a_target_is_a_path_of_ours_or_nothing(gateway: RunningGateway, target: bytes, status: bytes) -> None:
    head = target + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + gateway.secret.encode() + b"\r\n"
    assert answers(gateway, head + b"Connection: close\r\n\r\n", ends=False) == [status]


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"TLS/1.0"])
def test_nothing_is_upgraded(gateway: RunningGateway, upgrade: bytes) -> None:
    head = b"GET /v1/key HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + upgrade
    head += b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert answers(gateway, head + HIDDEN) == [b"401"]


def test_a_tunnel_is_not_opened(gateway: RunningGateway) -> None:
    assert answers(gateway, b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN) != [b"200"]
