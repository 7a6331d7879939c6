"""What LiteLLM's proxy writes down of a request becomes the event that was settled, not a second one."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.adapters import FORMATS, convert
from billing.lines import parse
from devstack.process import wait_until
from tests.deploy.conftest import GATEWAY_CREDENTIAL, GATEWAYS, Edge, started
from tests.gateway.conftest import CREDENTIAL, RunningGateway, free_port

pytestmark = pytest.mark.extended

WRITER = """
import json, os
from litellm.integrations.custom_logger import CustomLogger

class Writer(CustomLogger):
    def write(self, kwargs):
        with open(os.environ["PAYLOADS"], "a") as file:
            file.write(json.dumps(kwargs["standard_logging_object"], default=str) + "\\n")

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

writer = Writer()
"""


@pytest.fixture(scope="module")
def litellm(gateway_port: int, model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    for name in ("config.yaml", "keymeter_auth.py"):
        shutil.copy(GATEWAYS / "litellm" / name, folder)
    (folder / "payloads.py").write_text(WRITER)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "  callbacks: payloads.writer\n")
    python = Path(os.environ["KEYMETER_LITELLM"])
    values = {
        "KEYMETER_URL": f"http://127.0.0.1:{gateway_port}",
        "GATEWAY_CREDENTIAL": GATEWAY_CREDENTIAL,
        "MODELS_URL": model_server,
        "MODELS_CREDENTIAL": CREDENTIAL,
        "LITELLM_MASTER_KEY": "sk-of-nobody-0123456789abcdef0123456789abcdef",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PAYLOADS": str(folder / "payloads.jsonl"),
    }
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with started([str(python.with_name("litellm")), *options], folder, port, values, within=90):
        yield Edge("litellm", port, folder / "payloads.jsonl")


def payload(edge: Edge) -> Any:
    """The newest, once it is written."""
    assert wait_until(edge.log.exists, 20)
    return json.loads(edge.log.read_text().splitlines()[-1])


@pytest.mark.parametrize("stream", [False, True])
def test_a_payload_is_the_settled_event(litellm: Edge, keymeter: RunningGateway, *, stream: bool) -> None:
    litellm.log.unlink(missing_ok=True)
    made: Any = litellm.openai(keymeter.secret).chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "hello world"}], max_tokens=20, stream=stream
    )
    if stream:
        list(made)
    (settled,) = keymeter.lines()
    raw = convert(json.dumps(payload(litellm)).encode(), FORMATS["litellm"], "litellm-1", lambda _: None)
    assert raw
    line = parse(raw)
    assert (str(line.id), line.key, line.org) == (settled["id"], settled["key"], settled["org"])
    assert (line.model, line.endpoint, line.outcome, line.stream) == (
        "demo-chat",
        "chat.completions",
        "completed",
        stream,
    )
    counted = {meter: units for meter, units in line.usage.items() if units}
    assert counted == {meter: units for meter, units in settled["usage"].items() if units}
    assert b"hello world" not in raw
