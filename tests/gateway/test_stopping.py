"""A gateway that is stopped cleanly leaves nothing behind: its usage is where it is charged."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from gateway.logs.usage_log import closed_segments
from tests.gateway.conftest import Answer, RunningGateway, free_port
from tests.gateway.serving import serving

CREDENTIAL = "the-gateways-credential"
TAKEN, BUSY = 201, 503


@dataclass
class Intake:
    """What a web server that takes segments was sent: by (source, segment), the lines."""

    url: str
    # What it answers.
    status: int = TAKEN
    segments: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def lines(self) -> list[dict[str, Any]]:
        return [line for lines in self.segments.values() for line in lines]


@pytest.fixture
def intake() -> Iterator[Intake]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            before, _, segment = self.path.rpartition("/")
            assert before == "/api/v1/usage/segments"
            assert self.headers["Authorization"] == f"Bearer {CREDENTIAL}"
            if found.status == TAKEN:
                lines = [json.loads(line) for line in content.splitlines()]
                found.segments[self.headers["X-Source"], segment] = lines
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Intake(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join(10)
    server.server_close()


@contextmanager
def another(gateway: RunningGateway, spool: Path, intake: Intake) -> Iterator[RunningGateway]:
    """A gateway that ships to that intake what it closes, which it does of itself only after an hour."""
    changed = override_settings(
        GATEWAY_SPOOL_DIR=spool,
        INTAKE_URL=intake.url,
        GATEWAY_CREDENTIAL=CREDENTIAL,
        GATEWAY_SEGMENT_SECONDS=3600.0,
    )
    with changed, serving(spool, free_port()) as found:
        found.organization, found.secret = gateway.organization, gateway.secret
        yield found


def serve_one(gateway: RunningGateway, spool: Path, intake: Intake) -> Answer:
    """Answer a request and stop. Until then the line is in the spool alone."""
    with another(gateway, spool, intake) as stopping:
        answer = stopping.chat()
        assert answer.status == 200
        stopping.lines(1)
        assert not intake.segments
    return answer


def test_litellm_38157_a_gateway_that_stops_ships_its_log_first(
    gateway: RunningGateway, tmp_path: Path, intake: Intake
) -> None:
    """LiteLLM 38157: shutdown dropped the queue."""
    answer = serve_one(gateway, tmp_path, intake)
    ((source, _),) = intake.segments
    (line,) = intake.lines()
    assert (line["source"], line["outcome"]) == (source, "completed")
    assert line["id"] == answer.headers["x-request-id"]
    assert not list(tmp_path.glob("*/*.jsonl"))


def test_what_nobody_takes_while_a_gateway_stops_is_left_to_the_next_start(
    gateway: RunningGateway, tmp_path: Path, intake: Intake
) -> None:
    intake.status = BUSY
    answer = serve_one(gateway, tmp_path, intake)
    (left,) = tmp_path.glob("*/*.jsonl")
    assert [left] == closed_segments(left.parent)
    assert [json.loads(line)["id"] for line in left.read_bytes().splitlines()] == [answer.headers["x-request-id"]]
