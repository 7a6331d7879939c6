"""What the benches' load counts: a refusal is no answer, and its time is none of the measured."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devstack.bench import gateway, load, servers

CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
# By what it is: status and body.
ANSWERS = {
    "stream": (200, CHUNK + DONE),
    "refusal": (429, b'{"error": {"code": "rate_limit_exceeded"}}'),
    "broken": (200, CHUNK + b'data: {"error": {"code": "bad_gateway"}}\n\n'),
}
RATE = 20
Serves = Callable[..., gateway.Way]


@pytest.fixture
def serves() -> Iterator[Serves]:
    """`serves("stream", "refusal", …)`: a server that answers so, in turn, the last again and again."""
    left: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                status, body = ANSWERS[left.pop(0) if len(left) > 1 else left[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()

    def way(*kinds: str) -> gateway.Way:
        left[:] = kinds
        return gateway.Way(servers.Server(server.server_port, os.getpid()))

    yield way
    server.shutdown()
    thread.join(10)
    server.server_close()


def fired(way: gateway.Way, count: int) -> load.Outcome:
    requests = way.requests("paced", stream=True, count=count)
    return load.fire(way.server.port, requests, connections=4, rate=1_000)


def test_each_status_is_counted(serves: Serves) -> None:
    found = fired(serves("refusal", "stream", "broken", "refusal", "stream"), 7)
    assert (found.statuses, found.broken) == ({429: 2, 200: 5}, 1)
    assert len(found.firsts) == len(found.latencies) == 7


@pytest.mark.parametrize("measure", [gateway._first_token, gateway._latency])
def test_answers_are_measured(serves: Serves, measure: Callable[..., dict[str, float]]) -> None:
    told = measure(serves("stream"), rate=RATE, seconds=1)
    assert told["p50"] > 0


@pytest.mark.parametrize("measure", [gateway._first_token, gateway._latency])
@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (("stream", "refusal", "stream"), r"refusals=\{429: 1\}, broken streams=0"),
        (("stream", "broken", "stream"), r"refusals=\{\}, broken streams=1"),
        (("refusal",), rf"refusals=\{{429: {RATE}\}}, broken streams=0"),
    ],
)
def test_one_that_is_none_fails_the_bench(
    serves: Serves, measure: Callable[..., dict[str, float]], kinds: tuple[str, ...], told: str
) -> None:
    with pytest.raises(RuntimeError, match=told):
        measure(serves(*kinds), rate=RATE, seconds=1)
