"""The front page: what happened last, which test cards there are; and a charge's receipt."""

from datetime import UTC, datetime
from html import escape
from itertools import islice

from aiohttp import web

from devstack.stripeserver.account import Account
from devstack.stripeserver.pages.cardform import test_cards
from devstack.stripeserver.pages.html import gone, money, page
from devstack.stripeserver.store import Json
from devstack.stripeserver.webhooks.deliveries import Deliveries, Delivery

SHOWN = 20


def overview(account: Account, deliveries: Deliveries) -> web.Response:
    """The last payments, events and webhooks."""
    payments = [_payment(intent) for intent in islice(account.store.newest("payment_intent"), SHOWN)]
    sessions = [_session(each) for each in islice(account.store.newest("checkout.session"), SHOWN)]
    recent = [*deliveries.waiting, *reversed(deliveries.done)][:SHOWN]
    sent = [_delivery(account, each) for each in recent]
    body = (
        f"<h1>Local Stripe</h1>{test_cards()}"
        f"{_table('Payments', ('Amount', 'Status', 'Id', 'Made'), payments)}"
        f"{_table('Checkout Sessions', ('Mode', 'Status', 'Id', 'Made'), sessions)}"
        f"{_table('Webhooks', ('Event', 'Outcome', 'Attempts', 'To'), sent)}"
    )
    return page("Local Stripe", body, wide=True)


def receipt(account: Account, charge: Json | None) -> web.Response:
    if charge is None or not charge["paid"]:
        return gone("There is no such receipt.")
    details = charge["payment_method_details"][charge["payment_method_details"]["type"]]
    name = details.get("brand") or details.get("bank_name")
    refunded = charge["amount_refunded"]
    back = f"<p>Refunded: {money(refunded, charge['currency'])}</p>" if refunded else ""
    body = (
        f'<h1>Receipt</h1><div class="card"><p class="amount">{money(charge["amount"], charge["currency"])}</p>'
        f"<p>{escape(charge['description'] or '')}</p><p>{escape(name.title())} •••• {details['last4']}</p>{back}"
        f"<p><small>{charge['id']}, {_when(charge['created'])}</small></p></div>"
    )
    return page("Receipt", body)


def _payment(intent: Json) -> tuple[str, ...]:
    amount = money(intent["amount"], intent["currency"])
    return amount, intent["status"], intent["id"], _when(intent["created"])


def _session(session: Json) -> tuple[str, ...]:
    name = session["id"][:24] + "…"
    link = f'<a href="{escape(session["url"])}">{name}</a>' if session["url"] else name
    return session["mode"], session["status"], link, _when(session["created"])


def _delivery(account: Account, delivery: Delivery) -> tuple[str, ...]:
    endpoint = account.store.get(delivery.endpoint) or {"url": "(removed)"}
    return escape(delivery.kind), escape(delivery.outcome), str(delivery.attempt), escape(endpoint["url"])


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return f'<h2>{title}</h2><p class="soft">None yet.</p>'
    head = "".join(f"<th>{each}</th>" for each in heads)
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<h2>{title}</h2><div class="card scroll"><table><tr>{head}</tr>{cells}</table></div>'


def _when(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
