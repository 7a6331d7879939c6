"""Programs in JavaScript with OpenAI's SDK: one node runs them all, since starting it takes longer than they do."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from devstack import openai_js
from devstack.problems import StackError
from devstack.terminal import Terminal

RUNNER = """
import readline from "node:readline";
const write = process.stdout.write.bind(process.stdout);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { program, folder, environment } = JSON.parse(line);
  let said = "", failed = null;
  process.stdout.write = (text) => { said += text; return true; };
  process.chdir(folder);
  Object.assign(process.env, environment);
  try { await import(program); } catch (error) { failed = String(error?.stack ?? error); }
  process.stdout.write = write;
  write(JSON.stringify({ said, failed }) + "\\n");
}
"""


class JavaScript:
    """`run` gives what a program prints."""

    def __init__(self, sdk: Path, node: "subprocess.Popen[str]") -> None:
        self._sdk = sdk
        self._node = node

    def run(self, program: str, folder: Path, **environment: str) -> str:
        """In that folder, with these variables besides ours."""
        modules = folder / "node_modules"
        if not modules.exists():
            modules.symlink_to(self._sdk / "node_modules")
        # A module is run once.
        path = folder / f"{uuid4().hex}.mjs"
        path.write_text(program)
        assert self._node.stdin
        assert self._node.stdout
        order = {"program": str(path), "folder": str(folder), "environment": environment}
        self._node.stdin.write(json.dumps(order) + "\n")
        self._node.stdin.flush()
        told = json.loads(self._node.stdout.readline())
        assert told["failed"] is None, told["failed"]
        return str(told["said"]).strip()


@pytest.fixture(scope="session")
def javascript_sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaScript]:
    """Node with the SDK, which npm installs if need be."""
    try:
        sdk = openai_js.get(Terminal())
    except StackError as error:
        pytest.fail(str(error))
    runner = tmp_path_factory.mktemp("node") / "runner.mjs"
    runner.write_text(RUNNER)
    node = subprocess.Popen(["node", str(runner)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield JavaScript(sdk, node)
    with suppress(BrokenPipeError):
        node.communicate(timeout=10)
