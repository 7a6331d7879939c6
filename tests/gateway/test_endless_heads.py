"""What a client sends before there is a request to look at costs no memory, however much it is."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from itertools import repeat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gateway.conftest import RunningGateway
from tests.gateway.fleet import running_fleet
from tests.gateway.serving import wait_until_ready

MIB = 1024 * 1024
MUCH = 50 * MIB
# What a process may need for it: less than half of what is sent stays, or nothing was bounded.
MOST = 10 * MIB


@pytest.fixture(scope="module")
def lone_port(served: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a gateway listens that is a process of its own."""
    with running_fleet(1, tmp_path_factory.mktemp("lone") / "spool") as [address]:
        port = urlsplit(address).port
        assert port
        yield port


@contextmanager
def bounded_memory(port: int) -> Iterator[None]:
    """Meanwhile the gateway on that port has no more than MOST beyond what it has at the beginning."""
    process = process_on(port)
    (process / "clear_refs").write_text("5")  # the peak is measured from here on
    before = peak_bytes(process)
    yield
    assert peak_bytes(process) - before < MOST


def process_on(port: int) -> Path:
    wanted = f"--port\0{port}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "cmdline").read_bytes():
                return process
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"there is no gateway on port {port}")


def peak_bytes(process: Path) -> int:
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def sent(port: int, begin: bytes, again: bytes, size: int = MUCH) -> bytes:
    """What the gateway answers to the beginning of a request and so many bytes of more and more."""
    answered: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:

        def read() -> None:
            try:
                while part := connection.recv(65_536):
                    answered.append(part)
            except OSError:
                pass

        reading = threading.Thread(target=read)
        reading.start()
        try:
            connection.sendall(begin)
            for part in repeat(again * (MIB // len(again)), size // MIB):
                connection.sendall(part)
        except OSError:
            # Cut off.
            pass
        reading.join(20)
        assert not reading.is_alive(), "the connection was never ended"
    return b"".join(answered)


HEAD = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        pytest.param(HEAD + b"X-Long: ", b"a" * 1024, id="one header"),
        pytest.param(HEAD, b"X-Many: a\r\n", id="many headers"),
        pytest.param(HEAD, b"a" * 1024, id="a header's name"),
        pytest.param(b"GET /", b"a" * 1024, id="the URL"),
    ],
)
def test_an_endless_head_is_refused_and_not_kept(lone_port: int, begin: bytes, again: bytes) -> None:
    with bounded_memory(lone_port):
        assert sent(lone_port, begin, again).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    wait_until_ready(lone_port)


@pytest.mark.parametrize("again", [b"a" * 1024, b"a: b\r\n"], ids=["one trailer", "many trailers"])
def test_endless_trailers_are_not_kept(lone_port: int, again: bytes) -> None:
    with bounded_memory(lone_port):
        sent(lone_port, CHUNKED + b"2\r\n{}\r\n0\r\nX-Trailer: ", again)
    wait_until_ready(lone_port)


def test_a_large_body_in_small_chunks_is_no_head(gateway: RunningGateway) -> None:
    padding = b" " * 60
    chunks = (b'{"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}', *[padding] * 5_000)
    answer = gateway.request("POST", "/v1/chat/completions", iter(chunks))
    assert answer.status == 200


def test_the_next_request_of_a_connection_has_a_bound_of_its_own(gateway: RunningGateway) -> None:
    large = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 60_000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        for _ in range(3):
            for start in range(0, len(large), 7_000):
                connection.sendall(large[start : start + 7_000])
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.read()[:9]) == (401, b'{"error":')


def test_a_trailer_is_no_header(gateway: RunningGateway) -> None:
    body = b'{"model": "demo-chat", "messages": []}'
    trailer = f"Authorization: Bearer {gateway.secret}\r\n".encode()
    whole = CHUNKED + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n" + trailer + b"\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(whole)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
