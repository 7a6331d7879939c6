"""What a Checkout Session is made from, and what doesn't go together."""

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.parameters import (
    Required,
    amount,
    currency,
    hash_of,
    integer,
    list_of,
    metadata,
    one_of,
    text,
)
from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.store import Json

PRODUCT = hash_of({"name": Required(text), "description": text, "metadata": metadata})
PRICE = hash_of({"currency": Required(currency), "product_data": Required(PRODUCT), "unit_amount": Required(amount)})
ITEM = hash_of({"price_data": Required(PRICE), "quantity": Required(amount)})
PAYMENT = hash_of(
    {
        "capture_method": one_of("automatic", "automatic_async", "manual"),
        "description": text,
        "metadata": metadata,
        "receipt_email": text,
        "setup_future_usage": one_of("off_session", "on_session"),
        "statement_descriptor": text,
        "statement_descriptor_suffix": text,
    }
)
SAVED = hash_of({"payment_method_save": one_of("enabled", "disabled")})
CREATE = {
    "allowed_payment_method_types": list_of(one_of("card", "us_bank_account")),
    "cancel_url": text,
    "client_reference_id": text,
    "currency": currency,
    "customer": text,
    "customer_creation": one_of("always", "if_required"),
    "customer_email": text,
    "expires_at": integer,
    "line_items": list_of(ITEM),
    "locale": text,
    "metadata": metadata,
    "mode": Required(one_of("payment", "setup")),
    "payment_intent_data": PAYMENT,
    "saved_payment_method_options": SAVED,
    "setup_intent_data": hash_of({"description": text, "metadata": metadata}),
    "submit_type": one_of("auto", "pay"),
    "success_url": Required(text),
    "ui_mode": one_of("hosted_page"),
}
BANK = "us_bank_account"
HALF_HOUR, DAY = 30 * 60, 24 * 3600


def check(account: Account, given: Json) -> None:
    """Raises a Problem that names what is wrong."""
    if given.get("customer"):
        account.find("customer", given["customer"], "customer")
        if given.get("customer_email") or given.get("customer_creation"):
            both = "customer, customer_email" if given.get("customer_email") else "customer, customer_creation"
            raise malformed(f"You may only specify one of these parameters: {both}.", param="customer")
    of_payment = ("payment_intent_data", "line_items", "customer_creation", "submit_type")
    alien = of_payment if given["mode"] == "setup" else ("setup_intent_data",)
    for name in alien:
        if given.get(name):
            raise malformed(f"You can not pass `{name}` in `{given['mode']}` mode.", param=name)
    if given["mode"] == "payment" and not given.get("line_items"):
        raise malformed("`line_items` is required in `payment` mode.", "parameter_missing", "line_items")
    if given["mode"] == "setup" and not (given.get("currency") or given.get("allowed_payment_method_types")):
        raise malformed("`currency` is required in `setup` mode.", "parameter_missing", "currency")
    if BANK in (given.get("allowed_payment_method_types") or []) and given["mode"] == "setup":
        raise malformed(f"The local Stripe saves no {BANK}.", param="allowed_payment_method_types")
    until = (given.get("expires_at") or account.now() + DAY) - account.now()
    if not HALF_HOUR - 5 <= until <= DAY + 5:
        raise malformed("`expires_at` must be between 30 minutes and 24 hours from now.", param="expires_at")
