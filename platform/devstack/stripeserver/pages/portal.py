"""The billing portal: a customer's cards, the default one, removal, another one."""

from collections.abc import Mapping
from html import escape
from typing import Any

from aiohttp import web

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.methods import attach, card_of, detach, make_default
from devstack.stripeserver.pages import cardform
from devstack.stripeserver.pages.html import gone, page
from devstack.stripeserver.store import Json


def show(account: Account, session: Json | None, typed: Mapping[str, Any], wrong: str = "") -> web.Response:
    customer = session and account.store.get(session["customer"], "customer")
    if not session or not customer:
        return gone("This link doesn't work any more.")
    default = customer["invoice_settings"]["default_payment_method"]
    cards = [
        each
        for each in account.store.newest("payment_method")
        if each["customer"] == customer["id"] and each["type"] == "card"
    ]
    rows = "".join(f"<li>{_card(each, default=each['id'] == default)}</li>" for each in cards)
    back = f'<p><a href="{escape(session["return_url"])}" id="back">← Back</a></p>' if session["return_url"] else ""
    body = (
        f'{back}<h1>Payment methods</h1><div class="card"><ul>{rows or "<li>No card yet.</li>"}</ul></div>'
        f'<form method="post"><h2>Add a card</h2>{cardform.fields(typed, wrong)}'
        f'<button name="do" value="add">Add card</button></form>{cardform.test_cards()}'
    )
    return page("Payment methods", body, status=402 if wrong else 200)


def submit(account: Account, session: Json | None, typed: Mapping[str, Any]) -> web.Response:
    """Add, remove or make default, then the page anew."""
    customer = session and account.store.get(session["customer"], "customer")
    if not session or not customer:
        return show(account, None, typed)
    try:
        if typed.get("do") == "add":
            _add(account, customer, typed)
        else:
            method = account.find("payment_method", str(typed.get("method", "")))
            if method["customer"] == customer["id"]:
                detach(account, method) if typed.get("do") == "remove" else make_default(account, customer, method)
    except Problem as problem:
        return show(account, session, typed, str(problem))
    finally:
        account.bell.ring()
    return web.Response(status=303, headers={"Location": f"/p/session/{session['id']}"})


def _add(account: Account, customer: Json, typed: Mapping[str, Any]) -> None:
    method = cardform.typed_method(account, typed)
    attach(account, method, customer)
    account.private(method)["set_up"] = card_of(account, method).authentication == "unless_set_up"
    make_default(account, customer, method)


def _card(method: Json, *, default: bool) -> str:
    card = method["card"]
    text = f"{escape(card['brand'].title())} •••• {card['last4']}, {card['exp_month']:02}/{card['exp_year']}"
    if default:
        text += " <small>(default)</small>"
    field = f'<input type="hidden" name="method" value="{method["id"]}">'
    actions = [("remove", "Remove")] if default else [("default", "Make default"), ("remove", "Remove")]
    forms = "".join(
        f'<form method="post" class="bare">{field}'
        f'<button class="plain" name="do" value="{name}">{label}</button></form> '
        for name, label in actions
    )
    return f"{text}<br>{forms}"
