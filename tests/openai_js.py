"""Programs in JavaScript with OpenAI's SDK, run by node."""

import os
import subprocess
from pathlib import Path

import pytest

from devstack import openai_js
from devstack.problems import StackError
from devstack.terminal import Terminal


@pytest.fixture(scope="session")
def javascript_sdk() -> Path:
    """The folder that has the SDK's `node_modules`."""
    try:
        return openai_js.get(Terminal())
    except StackError as error:
        pytest.fail(str(error))


def run_javascript(program: str, folder: Path, sdk: Path, **environment: str) -> str:
    """What it prints; it is run in that folder, with these variables besides ours."""
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(sdk / "node_modules")
    (folder / "program.mjs").write_text(program)
    command = ["node", "program.mjs"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
