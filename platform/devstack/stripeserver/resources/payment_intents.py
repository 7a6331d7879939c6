"""PaymentIntents."""

from devstack.stripeserver import paying
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import CURRENCIES, Required, amount, boolean, currency, one_of, text
from devstack.stripeserver.api.problems import invalid, malformed
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.checking_out import session_of
from devstack.stripeserver.methods import card_of
from devstack.stripeserver.objects.intents import payment_intent
from devstack.stripeserver.resources.intent_fields import CONFIRMATION, OWN, apply, keep_intent, ready_to_confirm
from devstack.stripeserver.store import Json

URL = "/v1/payment_intents"
PLAIN = ("receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix", "capture_method")
FIELDS = OWN | {
    "receipt_email": text,
    "setup_future_usage": one_of("off_session", "on_session"),
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    "capture_method": one_of("automatic", "automatic_async", "manual"),
}
CREATE = FIELDS | {
    "amount": Required(amount),
    "currency": Required(currency),
    "confirm": boolean,
    "off_session": boolean,
    "error_on_requires_action": boolean,
    "return_url": text,
}
CONFIRM = CONFIRMATION | {
    "off_session": boolean,
    "error_on_requires_action": boolean,
    "receipt_email": text,
    "setup_future_usage": FIELDS["setup_future_usage"],
}


def create(account: Account, given: Json) -> Json:
    least = CURRENCIES[given["currency"]]
    if given["amount"] < least:
        text = f"Amount must be at least {least} of the smallest unit of {given['currency']}"
        raise malformed(text, "amount_too_small", "amount")
    if not given.get("confirm") and (given.get("off_session") or given.get("return_url")):
        raise malformed("off_session and return_url can only be given with confirm=true.", param="confirm")
    name = new_id("pi")
    intent = payment_intent(name, account.now(), new_id("", 25)[1:], given["amount"], given["currency"])
    _apply(account, intent, given)
    if given.get("confirm"):
        ready_to_confirm(account, intent, given | {"payment_method": None, "payment_method_data": None})
    keep_intent(account, intent, return_url=given.get("return_url"))
    return _confirm(account, intent, given) if given.get("confirm") else intent


def update(account: Account, given: Json) -> Json:
    intent = account.find("payment_intent", given["id"], "intent")
    if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        only = {"id", "metadata", "description", "receipt_email"}
        if set(given) - only:
            text = f"This PaymentIntent's {min(set(given) - only)} could not be updated because it has a status of "
            raise invalid(text + intent["status"], "payment_intent_unexpected_state")
    for name in ("amount", "currency"):
        intent[name] = given.get(name) or intent[name]
    _apply(account, intent, given)
    return intent


def confirm(account: Account, given: Json) -> Json:
    intent = account.find("payment_intent", given["id"], "intent")
    for name in ("receipt_email", "setup_future_usage"):
        intent[name] = given.get(name, intent[name])
    ready_to_confirm(account, intent, given)
    account.private(intent)["return_url"] = given.get("return_url")
    return _confirm(account, intent, given)


def capture(account: Account, given: Json) -> Json:
    intent = account.find("payment_intent", given["id"], "intent")
    paying.capture(account, intent, given.get("amount_to_capture"))
    if session := session_of(account, intent):
        session["payment_status"] = "paid"
    return intent


def cancel(account: Account, given: Json) -> Json:
    intent = account.find("payment_intent", given["id"], "intent")
    if (session := session_of(account, intent)) and session["status"] == "open":
        raise invalid("You cannot cancel this PaymentIntent: expire its Checkout Session instead.")
    paying.cancel(account, intent, given.get("cancellation_reason"))
    return intent


def _confirm(account: Account, intent: Json, given: Json) -> Json:
    off_session = bool(given.get("off_session"))
    if given.get("error_on_requires_action"):
        method = account.find("payment_method", intent["payment_method"])
        card = card_of(account, method)
        off_session = off_session or paying.must_authenticate(account, card, method, off_session=False)
    paying.attempt(account, intent, off_session=off_session)
    return intent


def _apply(account: Account, intent: Json, given: Json) -> None:
    for name in PLAIN:
        if name in given:
            intent[name] = given[name]
    apply(account, intent, given)


def _list(account: Account, given: Json) -> Json:
    return page(account, "payment_intent", given, URL, customer=given.get("customer"))


ROUTES = (
    Route("POST", URL, create, CREATE),
    Route("GET", URL, _list, paged(created=created, customer=text)),
    Route("GET", URL + "/{id}", lambda account, given: account.find("payment_intent", given["id"], "intent")),
    Route("POST", URL + "/{id}", update, FIELDS | {"amount": amount, "currency": currency}),
    Route("POST", URL + "/{id}/confirm", confirm, CONFIRM),
    Route("POST", URL + "/{id}/capture", capture, {"amount_to_capture": amount}),
    Route(
        "POST",
        URL + "/{id}/cancel",
        cancel,
        {"cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer")},
    ),
)
