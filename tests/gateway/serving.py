"""A gateway on a socket, and what tests ask it and see of it."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from openai import OpenAI

from hotstate import names
from hotstate.client import valkey
from tests.waiting import wait_until

if TYPE_CHECKING:
    from accounts.models import ApiKey, Organization
    from gateway.asgi import Application


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
    """A gateway in a thread of this process, asked with one organization's key. `lines` are that organization's."""

    port: int
    spool: Path
    application: "Application"
    secret: str = ""
    key: "ApiKey | None" = None
    organization: "Organization | None" = None

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
        """The organization's lines, once there are so many and every hold is settled."""
        wait_until(lambda: self.written() >= count and not self.open_holds(), f"{count} lines and no open hold")
        found = [json.loads(line) for line in self.logged().splitlines()]
        assert len(found) == count
        return found

    def written(self) -> int:
        """How many lines the organization has at this moment."""
        return self.logged().count(b"\n")

    def logged(self) -> bytes:
        """The organization's lines as they are in the log."""
        assert self.organization
        mine = b'"org":"' + self.organization.public_id.encode() + b'"'
        return b"".join(line for line in self._log().splitlines(keepends=True) if mine in line)

    def _log(self) -> bytes:
        while True:
            try:
                return b"".join(path.read_bytes() for path in sorted(self.spool.glob("*/*.jsonl")))
            except FileNotFoundError:
                # A segment was closed, and has its final name now.
                continue

    @property
    def source(self) -> str:
        """What the log calls itself."""
        return self.application.gateway.usage_log.source

    def open_holds(self) -> int:
        assert self.organization
        holds = names.holds_of(self.organization.public_id)
        return sum(1 for hold in valkey().hvals(holds) if hold.startswith(b"open:"))

    def held_nanos(self) -> int:
        assert self.organization
        return int(valkey().hget(names.organization_hash(self.organization.public_id), "held") or 0)

    def knows(self, model: str) -> bool:
        """Whether the gateway sells that model."""
        offer = self.application.gateway.watch.offer
        return offer is not None and model in offer.models

    def wait_for_catalogue(self) -> None:
        """Return once the gateway has what was announced last."""
        watch = self.application.gateway.watch
        wait_until(lambda: watch._version == int(valkey().get(names.CATALOG_VERSION) or 0), "the catalogue")


@contextmanager
def serving(spool: Path, port: int, **options: Any) -> Iterator[RunningGateway]:
    """Run a gateway; at the end it is stopped gracefully, as a deployment would."""
    from gateway.asgi import Application

    application = Application()
    configuration = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="gateway.http.bounded_http:BoundedProtocol",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        **options,
    )
    server = uvicorn.Server(configuration)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    wait_until_ready(port)
    yield RunningGateway(port, spool, application)
    server.should_exit = True
    thread.join(15)
    assert not thread.is_alive()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(port: int) -> None:
    def ready() -> bool:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    wait_until(ready, f"something to be ready on port {port}")
