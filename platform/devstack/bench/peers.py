"""What others do with the same requests: nginx, which only passes them on, and LiteLLM where it is installed."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from devstack import proxies, sideenv
from devstack.bench import servers
from devstack.ports import Ports
from devstack.process import ending_with_parent
from devstack.terminal import Terminal

NGINX = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi; keepalive_requests 1000000;
    upstream model {{ server 127.0.0.1:{model}; keepalive 1024; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Request-Id $request_id; proxy_buffering off;
        }}
    }}
}}
"""
LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{model}/v1", api_key: none}}
  - model_name: paced
    litellm_params: {{model: openai/paced, api_base: "http://127.0.0.1:{model}/v1", api_key: none}}
"""


@contextmanager
def nginx(model_port: int) -> Iterator[servers.Server]:
    """nginx in front of that model server, on the server's core."""
    port = Ports().any()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "nginx.conf").write_text(NGINX.format(model=model_port, port=port))
        with redirect_stdout(sys.stderr):
            program = proxies.path_of("nginx", Terminal())
        with _running([program, "-p", folder, "-c", "nginx.conf", "-e", "stderr"], port) as server:
            yield server


@contextmanager
def litellm(model_port: int) -> Iterator[servers.Server | None]:
    """LiteLLM's proxy without a database; None where its environment isn't there: the extended tests make it."""
    python = sideenv.installed("litellm")
    if python is None:
        yield None
        return
    port = Ports().any()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(LITELLM.format(model=model_port))
        command = [str(python.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1"]
        with _running([*command, "--port", str(port)], port, "/health/liveliness") as server:
            yield server


@contextmanager
def _running(command: list[str], port: int, path: str = "/readyz") -> Iterator[servers.Server]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=ending_with_parent()
    )
    try:
        servers.wait_until_ready(port, process, path)
        servers.pin(process.pid, servers.SERVER_CORE)
        yield servers.Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)
