"""The local Stripe's server: the API, the pages and the control endpoints around one account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from devstack.stripeserver import moments
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.answering import Api
from devstack.stripeserver.api.idempotency import Results
from devstack.stripeserver.control import Control
from devstack.stripeserver.faults import Faults
from devstack.stripeserver.keeping import Keeper
from devstack.stripeserver.pages.routes import Pages
from devstack.stripeserver.resources.events import keep_endpoint
from devstack.stripeserver.webhooks.deliveries import Deliveries
from devstack.stripeserver.webhooks.sending import keep_sending

RETRIES = [5.0, 30.0, 120.0, 600.0, 3600.0]


@dataclass
class Options:
    """`address` is what browsers call the server; `webhook` an endpoint that is there from the start, with its secret.

    `moment` and `retries` are in seconds.
    """

    address: str
    secret_key: str
    webhook: tuple[str, str] | None = None
    file: Path | None = None
    moment: float = 0.5
    retries: list[float] = field(default_factory=lambda: list(RETRIES))


def application(options: Options) -> web.Application:
    account = Account(options.address, options.moment)
    faults, results = Faults(), Results()
    deliveries = Deliveries(account, faults, options.retries)
    account.tell = deliveries.take
    keeper = Keeper(options.file, account, results, deliveries)
    keeper.load()
    if options.webhook:
        _expect_webhooks(account, *options.webhook)
    keeper.save()
    app = web.Application()
    app.router.add_get("/readyz", _ready)
    app.router.add_route("*", "/v1/{rest:.*}", Api(account, results, faults, options.secret_key).answer)
    Control(account, results, faults, deliveries).add_to(app.router)
    Pages(account, deliveries).add_to(app.router)

    async def background(app: web.Application) -> AsyncIterator[None]:
        works = (moments.keep(account), keep_sending(account, deliveries), keeper.keep())
        tasks = [asyncio.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    app.cleanup_ctx.append(background)
    return app


def _expect_webhooks(account: Account, url: str, secret: str) -> None:
    """The endpoint of the stack itself, with today's address and secret."""
    for endpoint in account.store.newest("webhook_endpoint"):
        if endpoint["metadata"].get("stack"):
            endpoint["url"] = url
            account.private(endpoint)["secret"] = secret
            return
    keep_endpoint(account, {"url": url, "enabled_events": ["*"], "metadata": {"stack": "true"}}, secret)


async def _ready(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})
