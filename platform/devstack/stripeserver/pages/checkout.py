"""Checkout's hosted page: pay or save a card, without JavaScript."""

from collections.abc import Mapping
from html import escape
from typing import Any

from aiohttp import web

from devstack.stripeserver import checking_out
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.pages import cardform
from devstack.stripeserver.pages.html import gone, money, page
from devstack.stripeserver.store import Json

Reply = web.Response
BANK = "us_bank_account"


def show(account: Account, session: Json | None, typed: Mapping[str, Any], wrong: str = "") -> Reply:
    """The page of an open session; a complete one leads to where the shop wanted."""
    if session is None:
        return gone("There is no such Checkout Session.")
    if session["status"] == "complete":
        return _to_shop(session)
    if session["status"] == "expired":
        return gone("This Checkout Session has expired. Go back to where you came from and start again.")
    paying = session["mode"] == "payment"
    button = f"Pay {money(session['amount_total'], session['currency'])}" if paying else "Save card"
    body = (
        f"{_cancel_link(session)}{_what(account, session)}"
        f'<form method="post">{_email(account, session, typed)}{cardform.fields(typed, wrong)}{_save(session, typed)}'
        f'<button id="submit">{button}</button></form>{_bank(account, session, typed, button)}{cardform.test_cards()}'
    )
    return page(button, body, status=402 if wrong else 200, leads_to=[session["success_url"], session["cancel_url"]])


def submit(account: Account, session: Json | None, typed: Mapping[str, Any]) -> Reply:
    """The button was pressed: on to the shop, to the bank, or the page again with what is wrong."""
    if session is None or session["status"] != "open":
        return show(account, session, typed)
    email = str(typed.get("email", "")) or session["customer_email"]
    try:
        by_bank = "account" in typed and BANK in session["payment_method_types"]
        method = cardform.typed_bank_account(account, typed) if by_bank else cardform.typed_method(account, typed)
        checking_out.confirm(account, session, method, email=email, save="save" in typed)
    except Problem as problem:
        return show(account, session, typed, str(problem))
    finally:
        account.bell.ring()
    return _onwards(account, session)


def back_from_bank(account: Account, session: Json | None) -> Reply:
    """After authentication: on to the shop where it passed, else the page again."""
    if session is None:
        return gone("There is no such Checkout Session.")
    intent = account.store.get(session["payment_intent"] or session["setup_intent"] or "") or {}
    error = intent.get("last_payment_error") or intent.get("last_setup_error") or {}
    return show(account, session, {}, error.get("message", ""))


def _onwards(account: Account, session: Json) -> Reply:
    if session["status"] == "complete":
        return _to_shop(session)
    intent = account.store.get(session["payment_intent"] or session["setup_intent"]) or {}
    return _redirect(intent["next_action"]["redirect_to_url"]["url"])


def _to_shop(session: Json) -> Reply:
    return _redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))


def _redirect(address: str) -> Reply:
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})


def _cancel_link(session: Json) -> str:
    address = session["cancel_url"] or ""
    return f'<p><a href="{escape(address)}" id="cancel">← Back</a></p>' if address.startswith("http") else ""


def _what(account: Account, session: Json) -> str:
    if session["mode"] == "setup":
        return "<h1>Save a card for later payments</h1>"
    private = account.private(session)
    items = private["line_items"]["data"]
    rows = "".join(f"<li>{item['quantity']} × {escape(item['description'])}</li>" for item in items)
    rows += "".join(f'<li class="soft">{escape(told)}</li>' for told in private.get("product_descriptions", ()) if told)
    total = money(session["amount_total"], session["currency"])
    return f'<div class="card"><p class="amount">{total}</p><ul>{rows}</ul></div>'


def _email(account: Account, session: Json, typed: Mapping[str, Any]) -> str:
    known = account.store.get(session["customer"] or "", "customer") or {}
    email = known.get("email") or session["customer_email"]
    if email:
        return f'<p class="soft">{escape(email)}</p>'
    if session["customer"] or session["mode"] == "setup":
        return ""
    value = escape(str(typed.get("email", "")))
    return f'<label>E-mail<input type="email" name="email" autocomplete="email" required value="{value}"></label>'


def _bank(account: Account, session: Json, typed: Mapping[str, Any], button: str) -> str:
    if BANK not in session["payment_method_types"]:
        return ""
    return (
        f'<form method="post"><h2>Or from a US bank account</h2>{_email(account, session, typed)}'
        f"{cardform.BANK_FIELDS}<button>{button} from this account</button></form>"
    )


def _save(session: Json, typed: Mapping[str, Any]) -> str:
    options = session["saved_payment_method_options"] or {}
    if options.get("payment_method_save") != "enabled" or not session["customer"]:
        return ""
    ticked = " checked" if "save" in typed else ""
    return f'<label class="check"><input type="checkbox" name="save"{ticked}>Save this card for next time</label>'
