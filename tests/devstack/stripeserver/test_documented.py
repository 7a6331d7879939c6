"""docs/local-stripe.md tells all test cards, faults and orders."""

import re

from devstack.places import CHECKOUT
from devstack.stripeserver import control
from devstack.stripeserver.app import Options, application
from devstack.stripeserver.cards import BANK_ACCOUNTS, CARDS
from devstack.stripeserver.faults import OF_CALLS, OF_WEBHOOKS

TEXT = (CHECKOUT / "docs" / "local-stripe.md").read_text()


def test_every_test_card_is_told() -> None:
    for card in (*CARDS, *BANK_ACCOUNTS):
        assert f"| {card.spaced} | `{card.method}` | {card.what} |" in TEXT


def test_every_fault_is_told() -> None:
    for fault in (*OF_CALLS, *OF_WEBHOOKS):
        assert f"| `{fault}` |" in TEXT


def test_every_order_is_told_and_exists() -> None:
    app = application(Options("http://localhost:1", "sk_test_x"))
    served = {route.resource.canonical for route in app.router.routes() if route.resource}
    orders = {path for path in served if path.startswith("/_control/")}
    assert orders == set(re.findall(r"/_control/\w+", TEXT)) == set(re.findall(r"/_control/\w+", control.__doc__ or ""))
