"""What payment and setup intents have in common: parameters, new ones, their payment method."""

from typing import Any

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.parameters import (
    BILLING,
    Parameters,
    Required,
    boolean,
    hash_of,
    integer,
    list_of,
    merged,
    metadata,
    one_of,
    text,
)
from devstack.stripeserver.api.problems import invalid, malformed
from devstack.stripeserver.methods import find_method, make_method, usable
from devstack.stripeserver.store import Json

CARD = hash_of(
    {
        "number": Required(text),
        "exp_month": Required(integer),
        "exp_year": Required(integer),
        "cvc": text,
    }
)
METHOD: Parameters = {"type": Required(one_of("card")), "card": Required(CARD), "billing_details": BILLING}
OWN: Parameters = {
    "automatic_payment_methods": hash_of({"enabled": Required(boolean), "allow_redirects": one_of("always", "never")}),
    "allowed_payment_method_types": list_of(one_of("card")),
    "customer": text,
    "description": text,
    "metadata": metadata,
    "payment_method": text,
    "payment_method_data": hash_of(METHOD),
}
CONFIRMATION: Parameters = {
    "payment_method": text,
    "payment_method_data": hash_of(METHOD),
    "return_url": text,
}


def keep_intent(account: Account, intent: Json, **private: Any) -> Json:
    """Remember a new intent and announce it."""
    account.store.keep(intent, secret=new_id("", 16)[1:], **private)
    account.announce(f"{intent['object']}.created", intent)
    return intent


def apply(account: Account, intent: Json, given: Json) -> None:
    """What creation and update have in common."""
    if given.get("customer"):
        account.find("customer", given["customer"], "customer")
    for name in ("customer", "description"):
        if name in given:
            intent[name] = given[name]
    if "metadata" in given:
        intent["metadata"] = merged(intent["metadata"], given["metadata"])
    if types := given.get("allowed_payment_method_types"):
        intent.update(allowed_payment_method_types=types, automatic_payment_methods=None)
    if automatic := given.get("automatic_payment_methods"):
        intent["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    use_method(account, intent, given)


def use_method(account: Account, intent: Json, given: Json) -> None:
    """The payment method that was named, or whose card was given."""
    if data := given.get("payment_method_data"):
        method = make_method(account, data["card"], data.get("billing_details"))
    elif given.get("payment_method"):
        method = find_method(account, given["payment_method"])
    else:
        return
    usable(account, method, intent["customer"])
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(f"The PaymentMethod provided ({method['type']}) is not allowed for this {intent['object']}.")
    intent["payment_method"] = method["id"]
    if intent["status"] in ("requires_payment_method", "requires_action"):
        intent.update(status="requires_confirmation", next_action=None)


def ready_to_confirm(account: Account, intent: Json, given: Json) -> None:
    """Raises a Problem where Stripe wouldn't confirm it: its state, no payment method, nowhere to return to."""
    kind = intent["object"]
    if account.store.private.get(intent["id"], {}).get("session"):
        raise invalid(f"You cannot confirm a {kind} that was created by Checkout.", f"{kind}_unexpected_state")
    use_method(account, intent, given)
    if intent["status"] not in ("requires_confirmation", "requires_payment_method", "requires_action"):
        text = f"You cannot confirm this {kind} because it has a status of {intent['status']}."
        raise invalid(text, f"{kind}_unexpected_state")
    if intent["payment_method"] is None:
        text = (
            f"You cannot confirm this {kind} because it's missing a payment method. Update it with a payment method "
            "and then confirm it again."
        )
        raise invalid(text, f"{kind}_unexpected_state")
    automatic = intent["automatic_payment_methods"]
    if not given.get("return_url") and automatic and automatic["allow_redirects"] == "always" and automatic["enabled"]:
        raise malformed(
            f"This {kind} is configured to accept payment methods that might redirect your customer off of your page, "
            "so you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to "
            "`never`.",
            param="return_url",
        )
