"""A card as a payment method, and as a charge's payment method details."""

import copy
from typing import Any

from devstack.stripeserver.cards import ROUTING_NUMBER, Card
from devstack.stripeserver.objects.customer import NO_ADDRESS
from devstack.stripeserver.store import Json

NOT_CHARGED: Json = {
    "financial_connections_account": None,
    "networks": {"preferred": "ach", "supported": ["ach"]},
    "status_details": None,
}
"""What a bank account has as a payment method only."""


def payment_method(name: str, now: int, card: Card, expiry: tuple[int, int], billing: Json) -> Json:
    """`expiry` is month and year, of a card only."""
    return {
        "id": name,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(billing),
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": card.kind,
        card.kind: _card(card, expiry) if card.kind == "card" else _bank(card) | NOT_CHARGED,
    }


def payment_method_details(method: Json, amount: int, *, authenticated: bool) -> Json:
    """How a charge was paid."""
    if method["type"] != "card":
        bank = {name: value for name, value in method[method["type"]].items() if name not in NOT_CHARGED}
        return {"type": method["type"], method["type"]: bank | {"mandate": None, "payment_reference": None}}
    card = {
        name: copy.deepcopy(method["card"][name])
        for name in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    }
    card |= {
        "amount_authorized": amount,
        "authorization_code": "000000",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": method["card"]["brand"],
        "network_token": {"used": False},
        "network_transaction_id": "000000000000000",
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure() if authenticated else None,
    }
    return {"card": card, "type": "card"}


def billing_details(given: Json) -> Json:
    """Whole billing details from the parts that were given."""
    result: Json = {name: given.get(name) for name in ("email", "name", "phone", "tax_id")}
    return {"address": NO_ADDRESS | (given.get("address") or {}), **result}


def _card(card: Card, expiry: tuple[int, int]) -> Json:
    return {
        "brand": card.brand,
        "display_brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "generated_from": None,
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank(card: Card) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": card.fingerprint,
        "last4": card.last4,
        "routing_number": ROUTING_NUMBER,
    }


def _three_d_secure() -> dict[str, Any]:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": "00000000-0000-0000-0000-000000000000",
        "version": "2.2.0",
    }
