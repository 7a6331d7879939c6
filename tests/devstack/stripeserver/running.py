"""A local Stripe of one's own, on a socket. For tests of what uses it too."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.places import CHECKOUT
from devstack.ports import HOST, Ports
from devstack.process import spawn
from tests.devstack.stack import answers
from tests.devstack.stripeserver.shop import KEY, Shop
from tests.waiting import wait_until

SECRET = "whsec_for_these_tests"
"""What webhooks to `webhook` are signed with."""


@contextmanager
def running(
    folder: Path, *options: str, webhook: str = "", retries: str = "0.02,0.02,0.02"
) -> Iterator[tuple[Shop, "subprocess.Popen[bytes]"]]:
    """A server for which a moment is short. It keeps its log in `folder`, and nothing may be in it at the end."""
    port = Ports().any()
    command = [sys.executable, "-m", "devstack.stripeserver", "--port", str(port), "--moment", "0.02"]
    command += ["--retries", retries, *(("--webhook-url", webhook) if webhook else ()), *options]
    environment = os.environ | {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRETS": f"{SECRET},whsec_older"}
    process = spawn(command, log=folder / "log", environment=environment, cwd=CHECKOUT)
    try:
        address = f"http://{HOST}:{port}"
        wait_until(lambda: answers(address + "/readyz"), lambda: f"the local Stripe: {(folder / 'log').read_text()}")
        yield Shop(address), process
    finally:
        process.terminate()
        process.wait(10)
    assert (folder / "log").read_text() == ""
