"""Sends what is due, one at a time to each endpoint, so nothing is out of order unless a fault says so."""

import asyncio

import aiohttp
import orjson

from devstack.stripeserver.account import Account
from devstack.stripeserver.store import Json
from devstack.stripeserver.webhooks.deliveries import Deliveries, Delivery
from devstack.stripeserver.webhooks.signing import signature

TIMEOUT = aiohttp.ClientTimeout(total=20)
LONGEST_SLEEP = 60
STALE_SECONDS = 3600


async def keep_sending(account: Account, deliveries: Deliveries) -> None:
    """Until cancelled."""
    busy: dict[str, asyncio.Task[None]] = {}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as client:
        try:
            while True:
                busy = {name: task for name, task in busy.items() if not task.done()}
                while delivery := deliveries.next_due(set(busy)):
                    busy[delivery.endpoint] = asyncio.create_task(_send(account, deliveries, client, delivery))
                await _until_something_is_due(account, deliveries)
        finally:
            for task in busy.values():
                task.cancel()


async def _until_something_is_due(account: Account, deliveries: Deliveries) -> None:
    now = account.time()
    await account.bell.sleep(min([LONGEST_SLEEP, *(one.due - now for one in deliveries.waiting if one.due > now)]))


async def _send(account: Account, deliveries: Deliveries, client: aiohttp.ClientSession, delivery: Delivery) -> None:
    endpoint = account.store.get(delivery.endpoint, "webhook_endpoint")
    event = account.store.get(delivery.event, "event")
    if endpoint is None or event is None:
        deliveries.finish(delivery, "gone", accepted=True)
        return
    delivery.attempt += 1
    outcome, accepted = await _attempt(account, client, endpoint, event, delivery.manner)
    deliveries.finish(delivery, outcome, accepted=accepted)
    account.bell.ring()


async def _attempt(
    account: Account, client: aiohttp.ClientSession, endpoint: Json, event: Json, manner: str
) -> tuple[str, bool]:
    """What the endpoint answered, and whether it took the event."""
    body = orjson.dumps(event)
    secret = account.private(endpoint)["secret"] + ("x" if manner == "bad_signature" else "")
    moment = account.now() - (STALE_SECONDS if manner == "stale" else 0)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(secret, body, moment),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    try:
        async with client.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as answer:
            return str(answer.status), 200 <= answer.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return type(error).__name__, False
