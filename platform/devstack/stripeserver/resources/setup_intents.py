"""SetupIntents."""

from devstack.stripeserver import paying, setting_up
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import boolean, one_of, text
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.intents import setup_intent
from devstack.stripeserver.resources.intent_fields import CONFIRMATION, OWN, apply, keep_intent, ready_to_confirm
from devstack.stripeserver.store import Json

URL = "/v1/setup_intents"
USAGE = one_of("off_session", "on_session")
CREATE = OWN | {"confirm": boolean, "return_url": text, "usage": USAGE}


def create(account: Account, given: Json) -> Json:
    intent = setup_intent(new_id("seti"), account.now(), new_id("", 25)[1:])
    intent["usage"] = given.get("usage") or intent["usage"]
    apply(account, intent, given)
    if given.get("confirm"):
        ready_to_confirm(account, intent, given | {"payment_method": None, "payment_method_data": None})
    keep_intent(account, intent, return_url=given.get("return_url"))
    if given.get("confirm"):
        setting_up.attempt(account, intent)
    return intent


def update(account: Account, given: Json) -> Json:
    intent = account.find("setup_intent", given["id"], "intent")
    apply(account, intent, given)
    return intent


def confirm(account: Account, given: Json) -> Json:
    intent = account.find("setup_intent", given["id"], "intent")
    ready_to_confirm(account, intent, given)
    account.private(intent)["return_url"] = given.get("return_url")
    setting_up.attempt(account, intent)
    return intent


def cancel(account: Account, given: Json) -> Json:
    intent = account.find("setup_intent", given["id"], "intent")
    paying.cancel(account, intent, given.get("cancellation_reason"))
    return intent


def _list(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("customer", "payment_method")}
    return page(account, "setup_intent", given, URL, **wanted)


ROUTES = (
    Route("POST", URL, create, CREATE),
    Route("GET", URL, _list, paged(created=created, customer=text, payment_method=text)),
    Route("GET", URL + "/{id}", lambda account, given: account.find("setup_intent", given["id"], "intent")),
    Route("POST", URL + "/{id}", update, OWN),
    Route("POST", URL + "/{id}/confirm", confirm, CONFIRMATION),
    Route(
        "POST",
        URL + "/{id}/cancel",
        cancel,
        {"cancellation_reason": one_of("abandoned", "duplicate", "requested_by_customer")},
    ),
)
