"""A local Stripe on a socket, emptied before each test, and a webhook endpoint for those who want one."""

from collections.abc import Iterator

import pytest

from tests.devstack.stripeserver.running import running
from tests.devstack.stripeserver.shop import Inbox, Shop, inbox


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a local Stripe."""
    with running(tmp_path_factory.mktemp("stripe")) as (shop, process):
        yield shop.address
        process.terminate()
        assert process.wait(10) == 0


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
