"""A gateway on a socket, in front of the demo model server."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import OpenAI

from accounts.models import ApiKey, Organization
from hotstate import names
from hotstate.client import valkey
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization

CREDENTIAL = "demo-upstream-credential"
POLL_SECONDS = 0.02


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str | None]:
        """Status, type and code, after checking that the error has OpenAI's shape."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert self.headers["x-request-id"]
        return self.status, error["type"], error["code"]


@dataclass
class RunningGateway:
    """A gateway in a thread of this process. `lines` are what it wrote into its usage log."""

    port: int
    spool: Path
    secret: str = ""
    key: ApiKey | None = None
    organization: Organization | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def post(self, path: str, body: Any, *, secret: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, content, secret=secret, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        content: bytes | Iterable[bytes] | None = None,
        *,
        secret: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        shown = self.secret if secret is None else secret
        sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {shown}"} if shown else {})}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, content, {**sent, **(headers or {})})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def chat(self, content: str = "hello world", **fields: Any) -> Answer:
        messages = [{"role": "user", "content": content}]
        return self.post("/v1/chat/completions", {"model": "demo-chat", "messages": messages, **fields})

    def openai(self, **options: Any) -> OpenAI:
        return OpenAI(api_key=self.secret, base_url=f"http://127.0.0.1:{self.port}/v1", max_retries=0, **options)

    def lines(self, count: int = 1) -> list[dict[str, Any]]:
        """The log's lines, once there are so many and every hold is settled."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = self._found()
            if len(found) >= count and not self.open_holds():
                assert len(found) == count
                return found
            time.sleep(0.02)
        raise AssertionError(f"{len(found)} lines instead of {count}; open holds: {self.open_holds()}")

    def written(self) -> int:
        """How many lines the log has at this moment."""
        return len(self._found())

    def _found(self) -> list[dict[str, Any]]:
        content = b"".join(path.read_bytes() for path in sorted(self.spool.glob("*/*.jsonl"), key=_age))
        return [json.loads(line) for line in content.splitlines()]

    def open_holds(self) -> int:
        assert self.organization
        holds = names.decision_keys(self.organization.public_id)[2]
        return sum(1 for hold in valkey().hvals(holds) if hold.startswith(b"open:"))

    def held_nanos(self) -> int:
        assert self.organization
        return int(valkey().hget(names.decision_keys(self.organization.public_id)[0], "held") or 0)


def _age(path: Path) -> tuple[bool, str]:
    return path.name == "open.jsonl", path.name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """The base URL of a demo model server, a process of its own."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "devstack.modelserver", "--port", str(port)],
        env={**os.environ, "MODELS_CREDENTIAL": CREDENTIAL},
    )
    _wait_until_ready(port)
    yield f"http://127.0.0.1:{port}/v1"
    server.terminate()
    server.wait(10)


@pytest.fixture
def gateway_port() -> int:
    """Where the gateway listens."""
    return free_port()


@pytest.fixture
def bare_gateway(
    transactional_db: None,
    empty_valkey: Any,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    gateway_port: int,
) -> Iterator[RunningGateway]:
    """A gateway whose database has nothing in it yet."""
    from gateway.asgi import Application

    settings.GATEWAY_SPOOL_DIR = tmp_path / "spool"
    settings.INTAKE_URL = "http://127.0.0.1:9"
    settings.UPSTREAM_IDLE_SECONDS = 2.0
    monkeypatch.setattr("gateway.offer.POLL_SECONDS", POLL_SECONDS)
    monkeypatch.setattr("gateway.known_gateways.POLL_SECONDS", POLL_SECONDS)
    configuration = uvicorn.Config(
        Application(),
        host="127.0.0.1",
        port=gateway_port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(configuration)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    _wait_until_ready(gateway_port)
    yield RunningGateway(gateway_port, tmp_path / "spool")
    server.should_exit = True
    thread.join(15)
    assert not thread.is_alive()


@pytest.fixture
def gateway(bare_gateway: RunningGateway, model_server: str) -> RunningGateway:
    """A gateway with a priced model, and a key of an organization that has $1."""
    organization = make_organization()
    model = make_model(upstream_url=model_server)
    upstream = model.routes.get().upstream
    upstream.credential = CREDENTIAL
    upstream.save()
    give_credit(organization, DOLLAR)
    bare_gateway.organization = organization
    bare_gateway.key, bare_gateway.secret = make_key(organization)
    announce()
    return bare_gateway


def announce() -> None:
    """Tell the gateway that the catalogue changed, and wait until it must know."""
    from datetime import UTC, datetime

    from catalog import changes

    changes.announce(datetime.now(UTC))
    time.sleep(10 * POLL_SECONDS)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"nothing is ready on port {port}")
