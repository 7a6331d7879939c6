"""A card as a payment method, and as a charge's payment method details."""

import copy
from typing import Any

from devstack.stripeserver.cards import Card
from devstack.stripeserver.objects.customer import NO_ADDRESS
from devstack.stripeserver.store import Json


def payment_method(name: str, now: int, card: Card, expiry: tuple[int, int], billing: Json) -> Json:
    """`expiry` is month and year."""
    return {
        "id": name,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(billing),
        "card": _card(card, expiry)
        | {
            "display_brand": card.brand,
            "generated_from": None,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
        },
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def payment_method_details(method: Json, amount: int, *, authenticated: bool) -> Json:
    """How a charge was paid."""
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
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "last4": card.last4,
        "regulated_status": "unregulated",
        "wallet": None,
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
