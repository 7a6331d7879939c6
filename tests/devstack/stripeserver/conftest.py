"""A local Stripe on a socket, emptied before each test, and a webhook endpoint for those who want one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.places import CHECKOUT
from devstack.ports import HOST, Ports
from devstack.process import spawn
from tests.devstack.stack import answers, wait_for
from tests.devstack.stripeserver.shop import KEY, Inbox, Shop, inbox


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a local Stripe for which a moment is short."""
    port = Ports().any()
    log = Path(tmp_path_factory.mktemp("stripe")) / "log"
    command = [sys.executable, "-m", "devstack.stripeserver", "--port", str(port)]
    command += ["--moment", "0.02", "--retries", "0.02,0.02,0.02"]
    process = spawn(command, log=log, environment=os.environ | {"STRIPE_SECRET_KEY": KEY}, cwd=CHECKOUT)
    wait_for(lambda: answers(f"http://{HOST}:{port}/readyz"), 20, "the local Stripe")
    yield f"http://{HOST}:{port}"
    process.terminate()
    assert process.wait(10) == 0
    assert log.read_text() == ""


@pytest.fixture
def shop(server: str) -> Shop:
    shop = Shop(server)
    for endpoint in shop.stripe.v1.webhook_endpoints.list().data:
        shop.stripe.v1.webhook_endpoints.delete(endpoint.id)
    shop.control("everything", method="DELETE")
    shop.control("clock", {"ahead": 0})
    return shop


@pytest.fixture
def hook(shop: Shop) -> Iterator[Inbox]:
    """An endpoint that gets every event."""
    with inbox() as box:
        made = shop.stripe.v1.webhook_endpoints.create({"url": box.url, "enabled_events": ["*"]})
        assert made.secret
        box.secret = made.secret
        yield box
