"""The fields of a card, and the payment method that somebody typed into them."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from devstack.stripeserver.account import Account
from devstack.stripeserver.cards import BANK_ACCOUNTS, CARDS, ROUTING_NUMBER
from devstack.stripeserver.methods import make_bank_account, make_method
from devstack.stripeserver.store import Json


def fields(typed: Mapping[str, Any], wrong: str = "") -> str:
    """Number, expiry and CVC, and what was wrong with them. A number that was typed isn't shown again."""
    problem = f'<p class="wrong" role="alert" id="wrong">{escape(wrong)}</p>' if wrong else ""
    return (
        f"{problem}"
        '<label>Card number<input name="number" inputmode="numeric" autocomplete="cc-number" required '
        'placeholder="4242 4242 4242 4242"></label><div class="pair">'
        '<label>Expiry<input name="expiry" inputmode="numeric" autocomplete="cc-exp" required placeholder="MM / YY"'
        f' value="{escape(str(typed.get("expiry", "")))}"></label>'
        '<label>CVC<input name="cvc" inputmode="numeric" autocomplete="cc-csc" required placeholder="123"></label>'
        "</div>"
        '<label>Name on card<input name="name" autocomplete="cc-name"'
        f' value="{escape(str(typed.get("name", "")))}"></label>'
    )


def typed_method(account: Account, typed: Mapping[str, Any]) -> Json:
    """Raises a Problem that says what is wrong with the card."""
    expiry = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(\d{2}|\d{4})\s*", str(typed.get("expiry", "")))
    month, year = (int(expiry[1]), int(expiry[2])) if expiry else (0, 0)
    card = {"number": str(typed.get("number", "")), "exp_month": month, "exp_year": year}
    card["cvc"] = str(typed.get("cvc", "")) or "none"
    billing = {"name": str(typed.get("name", "")) or None, "email": str(typed.get("email", "")) or None}
    return make_method(account, card, billing)


BANK_FIELDS = (
    '<div class="pair"><label>Routing number<input name="routing" inputmode="numeric" required '
    f'placeholder="{ROUTING_NUMBER}"></label>'
    '<label>Account number<input name="account" inputmode="numeric" required '
    f'placeholder="{BANK_ACCOUNTS[0].number}"></label></div>'
    '<label>Name of its owner<input name="name" required></label>'
)


def typed_bank_account(account: Account, typed: Mapping[str, Any]) -> Json:
    """Raises a Problem unless it is a test account."""
    billing = {"name": str(typed.get("name", "")) or None, "email": str(typed.get("email", "")) or None}
    return make_bank_account(account, str(typed.get("account", "")), str(typed.get("routing", "")), billing)


def test_cards() -> str:
    """All test cards, folded away."""
    known = (*CARDS, *BANK_ACCOUNTS)
    rows = "".join(f"<tr><td>{each.spaced}</td><td>{escape(each.what)}</td></tr>" for each in known)
    return (
        "<details><summary>Test cards</summary>"
        "<p><small>Any later expiry and any CVC. The last ones are bank accounts.</small></p>"
        f"<table>{rows}</table></details>"
    )
