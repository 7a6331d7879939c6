"""A Keymeter that takes payments: the local Stripe on a socket, our webhook endpoint on another, and customers who pay.

`Twisted` stands between the two and changes answers: what Stripe wouldn't say, or says for payments that take days.
"""

import json
import os
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import SavedCard, TopUp
from billing.payments import cards, customers, topping_up
from devstack.places import CHECKOUT
from devstack.ports import HOST, Ports
from devstack.process import spawn
from devstack.stripeserver.webhooks.signing import signature
from tests.cast import DOLLAR
from tests.devstack.stack import answers
from tests.devstack.stripeserver.shop import KEY, Page, Shop, card, visit
from tests.waiting import wait_until

SECRET = "whsec_of_these_tests_0123456789"
HOOK = "/stripe/webhook"
Json = dict[str, Any]


@pytest.fixture(scope="session")
def stripe_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a local Stripe for which a moment is short."""
    port = Ports().any()
    log = Path(tmp_path_factory.mktemp("stripe")) / "log"
    command = [sys.executable, "-m", "devstack.stripeserver", "--port", str(port)]
    command += ["--moment", "0.02", "--retries", "0.02,0.02,0.02"]
    process = spawn(command, log=log, environment=os.environ | {"STRIPE_SECRET_KEY": KEY}, cwd=CHECKOUT)
    wait_until(lambda: answers(f"http://{HOST}:{port}/readyz"), "the local Stripe")
    yield f"http://{HOST}:{port}"
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
def shop(stripe_server: str, settings: Any) -> Shop:
    """The local Stripe, emptied, and settings that lead there. It tells nobody of its events."""
    shop = Shop(stripe_server)
    for endpoint in shop.stripe.v1.webhook_endpoints.list().data:
        shop.stripe.v1.webhook_endpoints.delete(endpoint.id)
    shop.control("everything", method="DELETE")
    shop.control("clock", {"ahead": 0})
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_API_BASE = stripe_server
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_TIMEOUT_SECONDS = 1
    return shop


@pytest.fixture
def told(shop: Shop, live_server: Any, settings: Any) -> Shop:
    """As `shop`, and it tells our webhook endpoint, on a socket, of every event."""
    made = shop.stripe.v1.webhook_endpoints.create({"url": live_server.url + HOOK, "enabled_events": ["*"]})
    settings.STRIPE_WEBHOOK_SECRETS = [str(made.secret)]
    return shop


def begin(organization: Organization, dollars: int = 25, *, actor: User | None = None, **fields: Any) -> TopUp:
    """A top-up whose page is there to be paid on."""
    now = fields.pop("now", None) or datetime.now(UTC)
    wanted = {"saves_card": False, **fields}
    begun = topping_up.begin(organization, dollars * DOLLAR, actor=actor, now=now, **wanted)
    return topping_up.open_checkout(begun, now=now)


def save_card(
    shop: Shop, organization: Organization, method: str = "pm_card_visa", *, now: datetime | None = None
) -> SavedCard:
    """A card that Stripe keeps for it, and we know of. Those that authenticate when they are saved did so."""
    now = now or datetime.now(UTC)
    customer = customers.customer_of(organization, now=now)
    saved = shop.stripe.v1.payment_methods.attach(method, {"customer": customer})
    cards.look(organization, now=now)
    return SavedCard.objects.select_related("organization").get(payment_method=saved.id)


def pay(top_up: TopUp, number: str = "4242424242424242") -> Page:
    """As a customer does, in a browser."""
    return visit(top_up.pay_url, **card(number))


def event(kind: str, about: str, **fields: Any) -> Json:
    """As much of an event as Keymeter reads, and what it must not."""
    name = fields.pop("id", f"evt_{kind}_{about}")
    there = {"id": about, "object": "checkout.session", "payment_status": "paid", "amount_total": 99_999_999}
    return {"id": name, "object": "event", "type": kind, "livemode": False, "data": {"object": there}, **fields}


def post(content: Json | bytes, *, secret: str = SECRET, at: datetime | None = None, header: str | None = None) -> Any:
    """Send a webhook, signed, as Stripe would."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    moment = int((at or datetime.now(UTC)).timestamp())
    signed = signature(secret, body, moment) if header is None else header
    return Client(raise_request_exception=False).post(
        HOOK, body, content_type="application/json", headers={"Stripe-Signature": signed}
    )


def completed(top_up: TopUp, **fields: Any) -> Json:
    return event("checkout.session.completed", str(top_up.checkout_session), **fields)


Twist = Callable[[str, Json], None]


@dataclass
class Twisted:
    """A Stripe in front of the local one. `twist` changes an answer, whose path it is given."""

    url: str
    twist: Twist = lambda path, answer: None


@contextmanager
def twisted(address: str) -> Iterator[Twisted]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on(None)

        def do_POST(self) -> None:
            self.pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def pass_on(self, body: bytes | None) -> None:
            kept = ("Authorization", "Content-Type", "Idempotency-Key", "Stripe-Version")
            headers = {name: self.headers[name] for name in kept if self.headers[name]}
            request = urllib.request.Request(address + self.path, body, headers, method=self.command)
            with urllib.request.urlopen(request, timeout=5) as answer:
                content = json.load(answer)
            server.twist(self.path, content)
            told = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer((HOST, 0), Handler)
    server = Twisted(f"http://{HOST}:{listening.server_port}")
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


@pytest.fixture
def twist(shop: Shop, settings: Any) -> Iterator[Twisted]:
    """Answers go through it from now on."""
    with twisted(shop.address) as server:
        settings.STRIPE_API_BASE = server.url
        yield server
