"""However a request ends, its hold goes: settled, posted, released, or lapsed and counted."""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from billing.posting import post_segment
from hotstate import holds, names
from hotstate.client import valkey
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from tests.cast import make_segment
from tests.gateway.conftest import RunningGateway, Says
from tests.gateway.scripted import ANSWER, HEAD, padded, whole
from tests.gateway.serving import free_port, serving
from tests.waiting import wait_until


def posted(gateway: RunningGateway) -> None:
    post_segment(make_segment(gateway.logged(), source=gateway.source).pk, now=datetime.now(UTC))


def test_a_hold_that_could_not_be_settled_goes_with_the_posting(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unreachable("away")

    with monkeypatch.context() as losing:
        losing.setattr(HotState, "settle", away)
        assert gateway.chat().status == 200
        assert gateway.written() == 1
    assert gateway.open_holds() == 1
    posted(gateway)
    assert (gateway.open_holds(), gateway.held_nanos()) == (0, 0)
    assert holds.sweep_lapsed(datetime.now(UTC) + timedelta(hours=1)) == 0


def test_a_hold_that_nobody_renews_lapses_and_is_counted(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unreachable("away")

    monkeypatch.setattr(HotState, "settle", away)
    assert gateway.chat().status == 200
    assert gateway.organization
    assert holds.sweep_lapsed(datetime.now(UTC)) == 0
    assert holds.sweep_lapsed(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert gateway.held_nanos() == 0
    assert valkey().hget(names.organization_hash(gateway.organization.public_id), "lapsed") == b"1"


def test_a_client_that_takes_nothing_more_is_given_up(
    gateway: RunningGateway, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.bounded_http.STALLED_SECONDS", 0.2)
    # No output, or its limit would end the stream first; and more than the sockets' buffers take.
    says(HEAD, *[padded(64 * 1024)] * 1_024)
    body = b'{"model": "demo-chat", "messages": [], "stream": true, "max_tokens": 4096}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        (line,) = gateway.lines()
    assert line["outcome"] == "client_disconnected"
    assert gateway.held_nanos() == line["charge_nanos"]


def stopped(
    gateway: RunningGateway, spool: Path, gate: Event, *, patience: int | None = None
) -> tuple[int, dict[str, Any]]:
    """Stop a gateway of its own in the middle of a request: the client's status, the line."""
    with ThreadPoolExecutor(2) as pool:
        with serving(spool, free_port(), timeout_graceful_shutdown=patience) as own:
            mine = replace(gateway, port=own.port, spool=spool)
            running = pool.submit(mine.chat)
            wait_until(mine.open_holds, "the request to run")
            if patience is None:
                pool.submit(lambda: (wait_until(lambda: not listens(own.port), "the stop"), gate.set()))
        gate.set()
        (line,) = mine.lines()
        assert mine.held_nanos() == line["charge_nanos"]
        return running.result().status, line


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_gateway_that_stops_ends_what_it_is_doing(
    gateway: RunningGateway, says: Says, tmp_path: Path, settings: Any
) -> None:
    settings.GATEWAY_SPOOL_DIR = tmp_path
    gate = Event()
    says(gate, whole(ANSWER))
    status, line = stopped(gateway, tmp_path, gate)
    assert (status, line["outcome"]) == (200, "completed")
    assert line["charge_nanos"] > 0


def test_what_a_stopping_gateway_has_to_break_off_costs_nothing(
    gateway: RunningGateway, says: Says, tmp_path: Path, settings: Any
) -> None:
    settings.GATEWAY_SPOOL_DIR = tmp_path
    gate = Event()
    says(gate, whole(ANSWER))
    status, line = stopped(gateway, tmp_path, gate, patience=1)
    assert (status, line["outcome"], line["charge_nanos"]) == (503, "upstream_error", 0)
