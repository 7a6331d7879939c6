"""A shop that uses the local Stripe: its library, its webhook endpoint, its customers' browsers."""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

from tests.waiting import wait_until

KEY = "sk_test_for_these_tests"
RETURN = "http://shop.example/return"


@dataclass
class Received:
    """A webhook as it came."""

    body: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Inbox:
    """A webhook endpoint. `answers` are the next statuses, then it is 200."""

    url: str
    secret: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [one.event["type"] for one in self.received]

    def wait(self, count: int) -> list[Received]:
        wait_until(lambda: len(self.received) >= count, lambda: f"{count} webhooks, there are {self.types}")
        return self.received

    def wait_for_type(self, kind: str) -> dict[str, Any]:
        wait_until(lambda: kind in self.types, lambda: f"{kind}, there are {self.types}")
        return next(one.event for one in self.received if one.event["type"] == kind)


class Shop:
    """The local Stripe as a shop uses it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.stripe = self.client()

    def client(self, key: str = KEY, **options: Any) -> stripe.StripeClient:
        return stripe.StripeClient(key, base_addresses={"api": self.address}, **{"max_network_retries": 0, **options})

    def customer(self, **fields: Any) -> stripe.Customer:
        params: dict[str, Any] = {"email": "ann@example.com", **fields}
        return self.stripe.v1.customers.create(params)  # type: ignore[arg-type]

    def pay(self, method: str = "pm_card_visa", amount: int = 2500, **fields: Any) -> stripe.PaymentIntent:
        """A payment, confirmed at once."""
        params = {"amount": amount, "currency": "usd", "payment_method": method, "confirm": True, "return_url": RETURN}
        return self.stripe.v1.payment_intents.create({**params, **fields})  # type: ignore[typeddict-item]

    def saved_card(self, customer: str, method: str = "pm_card_visa") -> stripe.PaymentMethod:
        return self.stripe.v1.payment_methods.attach(method, {"customer": customer})

    def session(self, amount: int = 2500, **fields: Any) -> stripe.checkout.Session:
        price = {"currency": "usd", "unit_amount": amount, "product_data": {"name": "Credit"}}
        params = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "success_url": "http://shop.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.example/cancelled",
        }
        given = {name: value for name, value in {**params, **fields}.items() if value is not None}
        return self.stripe.v1.checkout.sessions.create(given)  # type: ignore[arg-type]

    def control(self, path: str, order: object = None, method: str | None = None) -> dict[str, Any]:
        data = None if order is None else json.dumps(order).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/_control/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return dict(json.load(answer))

    def quiet(self) -> None:
        """Until nothing waits to be sent or done."""
        wait_until(lambda: bool(self.control("quiet")["quiet"]), lambda: f"quiet: {self.control('deliveries')}")


class Page(HTMLParser):
    """A page as a browser without JavaScript sees it."""

    def __init__(self, status: int, address: str, text: str) -> None:
        super().__init__()
        self.status, self.address, self.text = status, address, text
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            self.names.append(dict(attributes).get("name") or "")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def visit(address: str, **typed: str) -> Page:
    """GET a page, or POST what was typed. A redirect isn't followed: the page's address is where it leads."""
    data = urllib.parse.urlencode(typed).encode() if typed else None
    try:
        with urllib.request.build_opener(_Stay).open(address, data, timeout=5) as answer:
            return Page(answer.status, address, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Page(error.code, error.headers.get("Location", address), error.read().decode())


def card(number: str = "4242424242424242", **typed: str) -> dict[str, str]:
    """What somebody types into the card's fields."""
    return {"number": number, "expiry": "12 / 34", "cvc": "123", "name": "Ann", "email": "ann@example.com", **typed}


def bank_account(number: str = "000123456789", **typed: str) -> dict[str, str]:
    """What somebody types into a bank account's fields."""
    return {"account": number, "routing": "110000000", "name": "Ann", "email": "ann@example.com", **typed}


@contextmanager
def inbox() -> Iterator[Inbox]:
    """A webhook endpoint on a socket of its own, which is the shop's web site too."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.received.append(Received(body, self.headers["Stripe-Signature"]))
            self.send_response(box.answers.pop(0) if box.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            body = b"<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Thank you</h1>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Inbox(f"http://127.0.0.1:{server.server_port}/hook")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
